//! A repository as an answer has it, and as a body says it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{Api, Visibility, body::Body, problem::Problem, timestamp::Timestamp};
use crate::{
    access::ProjectSet,
    config,
    meta::Browsed,
    oci::{Name, Tag},
};

/// A repository in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ListedRepository {
    /// The whole name, project first
    #[schema(example = "team/app")]
    pub name: String,
    pub project: String,
    /// Its own, or its project's
    pub visibility: Visibility,
}

/// A repository with a page of its tags.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Repository {
    pub name: String,
    pub project: String,
    pub visibility: Visibility,
    /// It has no visibility of its own
    pub inherits_visibility: bool,
    /// Null: it was made by what came into it
    pub created_at: Option<Timestamp>,
    /// By name, a page at a time
    pub tags: Vec<RepositoryTag>,
}

/// A tag and the manifest that it points to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RepositoryTag {
    pub tag: String,
    pub digest: String,
    pub media_type: String,
    /// Of the manifest and all that it names
    pub size_bytes: u64,
    /// Such as `linux/arm64`, where an index says so
    pub platforms: Vec<String>,
    /// When a client last pulled it
    pub used_at: Option<Timestamp>,
    /// When the manifest came
    pub created_at: Option<Timestamp>,
}

/// A repository that is to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RepositoryFields {
    /// The whole name; its first component is a hosted project
    #[schema(example = "team/app")]
    pub name: String,
    #[serde(flatten)]
    pub visibility: VisibilityField,
}

/// Who may pull from a repository.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct VisibilityField {
    /// `public` or `private`; null or not there: as its project says
    pub visibility: Option<Visibility>,
}

/// `None`: its project is gone.
pub(in crate::api) fn listed(projects: &ProjectSet, name: &Name) -> Option<ListedRepository> {
    let project = projects.get(name.first())?;
    Some(ListedRepository {
        name: name.to_string(),
        project: project.name.clone(),
        visibility: projects.visibility_of(project, name).into(),
    })
}

pub(super) async fn found(
    api: &Api,
    name: &Name,
    after: Option<&Tag>,
    limit: u32,
) -> Result<Option<Repository>, Problem> {
    let projects = api.parts.projects.now();
    let (Some(row), Some(listed)) = (
        api.parts.meta.repository(name).await?,
        listed(&projects, name),
    ) else {
        return Ok(None);
    };
    let mut tags = Vec::new();
    for browsed in api.parts.meta.tags_browsed(name, after, limit).await? {
        tags.push(tag(api, name, browsed).await?);
    }
    Ok(Some(Repository {
        name: listed.name,
        project: listed.project,
        visibility: listed.visibility,
        inherits_visibility: row.visibility.is_none(),
        created_at: row.created_at.map(Into::into),
        tags,
    }))
}

async fn tag(api: &Api, name: &Name, browsed: Browsed) -> Result<RepositoryTag, Problem> {
    let image = api.parts.mirror.outline(name, &browsed.digest).await?;
    Ok(RepositoryTag {
        tag: browsed.tag.to_string(),
        digest: browsed.digest.to_string(),
        media_type: browsed.media_type,
        size_bytes: image.size_bytes,
        platforms: image.platforms,
        used_at: browsed.used_at.map(Into::into),
        created_at: browsed.created_at.map(Into::into),
    })
}

pub(super) fn visibility(mut body: Body) -> Result<Option<config::Visibility>, Problem> {
    let visibility: Option<Option<Visibility>> = body.optional("visibility")?;
    let visibility = visibility.flatten();
    body.finish()?;
    match visibility {
        None => Ok(None),
        Some(Visibility::Public) => Ok(Some(config::Visibility::Public)),
        Some(Visibility::Private) => Ok(Some(config::Visibility::Private)),
        Some(Visibility::Remote) => Err(Problem::bad_field(
            "visibility",
            "expected \"public\" or \"private\": the remote decides for whole projects",
        )),
    }
}
