//! Another Entrepot: its management API makes hosted projects, for admins of the system. Where it is set so, a push by
//! somebody else makes them, too.

use http::Method;
use serde_json::json;

use super::profile::{Abilities, Profile};
use crate::client::{
    ClientError, ErrorKind, RegistryClient,
    project::{Made, refusal},
};
use crate::oci::Name;

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

/// The project of a repository.
pub(super) async fn make_project(
    client: &RegistryClient,
    name: &Name,
) -> Result<Made, ClientError> {
    let project = name.first();
    let path = format!("{PROJECTS}/{project}");
    match client.manage(Method::GET, &path, None).await {
        Ok(_) => return Ok(Made::There),
        // Also one that we may not see.
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) if error.is_answer() || error.kind == ErrorKind::Invalid => {
            return by_push(client, name, &error).await;
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
        _ if error.is_answer() => by_push(client, name, &error).await,
        _ => Err(error),
    }
}

/// A push may make it, or it is there and we may not see it: begins one, and gives it up. `error`: why the management API
/// does not make it.
async fn by_push(
    client: &RegistryClient,
    name: &Name,
    error: &ClientError,
) -> Result<Made, ClientError> {
    let why = refusal(client, "project", name.first(), NEEDS, error);
    match client.upload_start(name).await {
        Ok(session) => {
            // It ends by itself, too.
            let _ = client.upload_cancel(&session).await;
            Ok(Made::There)
        }
        Err(error) if error.is_answer() => {
            let said = error.message;
            let needs = "where pushes make projects, the right `push` on all of it";
            Ok(Made::Refused(format!("{why}; or, {needs} ({said})")))
        }
        Err(error) if error.kind == ErrorKind::Invalid => Ok(Made::Unsure(why)),
        Err(error) => Err(error),
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
