//! `/artifact/labels`: what people call a manifest, whatever its tags.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};

use super::{Api, artifact::ArtifactQuery, body::Texts, problem::Problem};
use crate::{
    access::{Caller, Right},
    meta::MAX_LABELS,
};

const MAX_LENGTH: usize = 128;

#[utoipa::path(
    put, path = "/artifact/labels", tag = "repositories", operation_id = "replaceLabels", params(ArtifactQuery),
    request_body = Vec<String>,
    responses(
        (status = 200, description = "The manifest has these labels and no others", body = Vec<String>),
        (status = 404, description = "It is not here, or the caller may not pull it"),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: ArtifactQuery,
    Texts(mut labels): Texts,
) -> Result<Json<Vec<String>>, Problem> {
    admit(&api, &caller, &query)?;
    labels.sort_unstable();
    labels.dedup();
    check(&labels)?;
    let digest = query.digest(&api).await?;
    let meta = &api.parts.meta;
    if meta
        .labels_set(&query.name, &digest, labels.clone())
        .await?
    {
        Ok(Json(labels))
    } else {
        Err(query.missing())
    }
}

/// Labels are for those who decide what is in the repository: who may push there; of a mirror, who may seed it.
fn admit(api: &Api, caller: &Caller, query: &ArtifactQuery) -> Result<(), Problem> {
    let name = &query.name;
    let projects = api.parts.projects.now();
    let project = projects.get(name.first());
    let project = project
        .filter(|_| projects.may_pull(caller, name))
        .ok_or_else(|| query.missing())?;
    let right = if project.is_mirror() {
        Right::Seed
    } else {
        Right::Push
    };
    if caller.may(right, project, name) {
        return Ok(());
    }
    Err(Problem::forbidden(format!(
        "this takes the right `{right}` in `{name}`"
    )))
}

fn check(labels: &[String]) -> Result<(), Problem> {
    if labels.len() > MAX_LABELS {
        return Err(Problem::bad_request(format!(
            "a manifest has at most {MAX_LABELS} labels"
        )));
    }
    let is_wrong = |label: &&String| {
        label.is_empty()
            || label.len() > MAX_LENGTH
            || label.trim() != label.as_str()
            || label.chars().any(char::is_control)
    };
    match labels.iter().find(is_wrong) {
        None => Ok(()),
        Some(_) => Err(Problem::bad_request(format!(
            "a label has 1 to {MAX_LENGTH} bytes, none of them a control character, no space at its ends"
        ))),
    }
}
