//! Harbor (API 2.0): a project must be there before a push to it. It is made private.

use http::Method;
use serde_json::json;

use super::profile::{Abilities, Profile};
use crate::{
    client::{
        ClientError, ErrorKind, RegistryClient,
        project::{Made, refusal},
    },
    oci::{Name, Tag},
};

pub(super) const PROFILE: Profile = Profile {
    title: "Harbor",
    url_hint: "https://harbor.example.com",
    credential_hint: "a robot account: robot$name and its secret",
    fields: &[],
    can: Abilities {
        create: true,
        delete_tag: true,
        chunk: true,
        mount: true,
        referrers: true,
    },
};

const PROJECTS: &str = "api/v2.0/projects";
/// A repository's name in a path: its slashes are encoded twice, once for Harbor's own routing.
const SLASH: &str = "%252F";
const NEEDS: &str = "a system robot account with the permission to create projects";

pub(super) async fn make_project(
    client: &RegistryClient,
    project: &str,
) -> Result<Made, ClientError> {
    let path = format!("{PROJECTS}?project_name={project}");
    let is_missing = match client.manage(Method::HEAD, &path, None).await {
        Ok(_) => return Ok(Made::There),
        Err(error) if error.kind == ErrorKind::NotFound => true,
        // Who may push need not be allowed to look.
        Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Invalid) => false,
        Err(error) => return Err(error),
    };
    let private = json!({"project_name": project, "metadata": {"public": "false"}});
    let Err(error) = client.manage(Method::POST, PROJECTS, Some(&private)).await else {
        return Ok(Made::There);
    };
    let why = refusal(client, "project", project, NEEDS, &error);
    match error.kind {
        // Somebody else was first.
        ErrorKind::Invalid if error.status == Some(409) => Ok(Made::There),
        ErrorKind::Denied | ErrorKind::Invalid | ErrorKind::NotFound => Ok(match is_missing {
            true => Made::Refused(why),
            false => Made::Unsure(why),
        }),
        _ => Err(error),
    }
}

/// Takes a tag from its artifact, which stays with its other tags. The registry API beside it deletes artifacts only.
pub(super) async fn delete_tag(
    client: &RegistryClient,
    name: &Name,
    tag: &Tag,
) -> Result<(), ClientError> {
    let Some(repository) = name.rest() else {
        return Err(client.invalid(format!(
            "has no repository `{name}`: projects are not repositories"
        )));
    };
    let project = name.first();
    let repository = repository.as_str().replace('/', SLASH);
    let path = format!("{PROJECTS}/{project}/repositories/{repository}/artifacts/{tag}/tags/{tag}");
    match client.manage(Method::DELETE, &path, None).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        answer => answer.map(drop),
    }
}
