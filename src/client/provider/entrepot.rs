//! Another Entrepot: its management API makes hosted projects, for admins of the system. Where it is set so, a push by
//! somebody else makes them, too.

use http::Method;
use serde_json::json;

use super::profile::{Abilities, Profile};
use crate::client::{
    ClientError, ErrorKind, RegistryClient,
    project::{Made, refusal},
};

pub(super) const PROFILE: Profile = Profile {
    title: "Entrepot",
    url_hint: "https://entrepot.example.com",
    credential_hint: "a token of it: its user name and its secret as password",
    fields: &[],
    can: Abilities {
        create: true,
        delete_tag: true,
        chunk: true,
        mount: true,
        referrers: true,
    },
};

const PROJECTS: &str = "api/v1/projects";
const SESSION: &str = "api/v1/session";
const NEEDS: &str = "a token of an admin of the system there";

pub(super) async fn make_project(
    client: &RegistryClient,
    project: &str,
) -> Result<Made, ClientError> {
    let path = format!("{PROJECTS}/{project}");
    match client.manage(Method::GET, &path, None).await {
        Ok(_) => return Ok(Made::There),
        // Also one that we may not see.
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) if error.is_answer() || error.kind == ErrorKind::Invalid => {
            return Ok(Made::Unsure(refusal(
                client, "project", project, NEEDS, &error,
            )));
        }
        Err(error) => return Err(error),
    }
    let hosted = json!({"name": project, "kind": "hosted"});
    let Err(error) = client.manage(Method::POST, PROJECTS, Some(&hosted)).await else {
        return Ok(Made::There);
    };
    match error.status {
        // Somebody else was first.
        Some(409) => Ok(Made::There),
        // It would hide what others pull by short names: that is for a person to decide, there.
        Some(400) => {
            let needs = "an admin of the system who makes it there with `hide_default`";
            Ok(Made::Refused(refusal(
                client, "project", project, needs, &error,
            )))
        }
        // A push may make it.
        _ if error.is_answer() => Ok(Made::Unsure(refusal(
            client, "project", project, NEEDS, &error,
        ))),
        _ => Err(error),
    }
}

/// `None`: what is there has no such API.
pub(super) async fn try_login(client: &RegistryClient) -> Option<Result<(), ClientError>> {
    match client.manage(Method::GET, SESSION, None).await {
        Ok(_) => Some(Ok(())),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => None,
        Err(error) => Some(Err(error)),
    }
}
