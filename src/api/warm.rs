//! `/cache/warm`: a list of images that are fetched ahead of their use.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api, Begun,
    body::Body,
    problem::{FieldError, Problem},
    projects::created,
};
use crate::{
    access::Caller,
    config::ProjectKind,
    oci::{Image, PlatformPattern, Reference},
    replication::Wanted,
};

/// How many images one call takes.
const MAX_REFERENCES: usize = 1000;
const MAX_PLATFORMS: usize = 32;

/// What is to be fetched.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WarmFields {
    /// Tags of mirror projects, at most 1,000
    #[schema(example = json!(["docker.io/library/nginx:1.27"]), max_items = 1000)]
    pub references: Vec<String>,
    /// Of each index only what is for these; empty: all of it
    #[serde(default)]
    #[schema(example = json!(["linux/amd64"]), max_items = 32)]
    pub platforms: Vec<String>,
}

#[utoipa::path(
    post, path = "/cache/warm", tag = "cache", operation_id = "warmCache", request_body = WarmFields,
    responses(
        (status = 201, description = "An execution of no rule has begun, with a task for each repository", body = Begun,
            headers(("Location" = String, description = "Its path"))),
    )
)]
pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    mut body: Body,
) -> Result<Response, Problem> {
    let references: Vec<String> = body.required("references")?;
    let platforms: Vec<String> = body.optional("platforms")?.unwrap_or_default();
    body.finish()?;
    bounded("references", references.len(), 1..=MAX_REFERENCES)?;
    bounded("platforms", platforms.len(), 0..=MAX_PLATFORMS)?;
    let wanted = each("references", &references, |text| wanted(&api, text))?;
    each("platforms", &platforms, |text| {
        let platform = text.parse::<PlatformPattern>();
        platform.map_err(|error| error.to_string())
    })?;
    let id = api.parts.replication.warm(wanted, &platforms).await?;
    Ok(created("/executions", &id.to_string(), Begun { id }))
}

fn bounded(
    field: &str,
    count: usize,
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<(), Problem> {
    if allowed.contains(&count) {
        return Ok(());
    }
    let (least, most) = (allowed.start(), allowed.end());
    let message = format!("expected {least} to {most} of them, found {count}");
    Err(Problem::bad_field(field, message))
}

/// Reads each text of a list; every mistake is told, with its text.
fn each<T>(
    field: &str,
    texts: &[String],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Problem> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        match read(text) {
            Ok(value) => values.push(value),
            Err(message) => errors.push(FieldError {
                field: format!("{field}[{index}]"),
                message: format!("`{text}`: {message}"),
            }),
        }
    }
    match errors.is_empty() {
        true => Ok(values),
        false => Err(Problem::bad_fields(errors)),
    }
}

fn wanted(api: &Api, text: &str) -> Result<Wanted, String> {
    let image: Image = text.parse()?;
    let Reference::Tag(tag) = image.reference else {
        return Err(
            "expected a tag; what a digest names is fetched with the tag above it".to_owned(),
        );
    };
    let mirror = &api.parts.mirror;
    let project = image.name.first();
    if mirror.projects().get(project).is_none() {
        return Err(format!(
            "no project is named `{project}`: a name begins with its project, as in docker.io/library/nginx"
        ));
    }
    let repository = mirror.resolve(&image.name, None, &Caller::admin());
    let repository = repository.map_err(|error| error.to_string())?;
    let ProjectKind::Mirror { remote } = &repository.project.kind else {
        return Err(format!("`{project}` is no mirror"));
    };
    Ok(Wanted {
        remote: remote.clone(),
        repository: repository.remote_name,
        destination: repository.name,
        tag,
    })
}
