//! One entry of the cache as the API shows it, and the query that names it.

use axum::extract::FromRequestParts;
use http::request;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{problem::Problem, query::Fields, timestamp::Timestamp};
use crate::{
    access::Caller,
    mirror::{
        Mirror, Repository,
        entry::{Entry, EntryState, Missing, MissingKind},
    },
    oci::{Name, Reference},
};

/// So many missing parts of an image are named; of a longer list, the first.
pub const MAX_MISSING: usize = 100;

/// What is here of an image.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CacheEntry {
    /// The repository, project first
    #[schema(example = "docker.io/library/nginx")]
    pub name: String,
    /// A tag or a digest
    #[schema(example = "1.27")]
    pub reference: String,
    /// The manifest that is served
    pub digest: String,
    /// Everything that the manifest names is here
    pub complete: bool,
    /// What is not here; the first 100 of it
    pub missing: Vec<MissingContent>,
    pub state: CacheState,
    /// Never evicted
    pub pinned: bool,
    pub filled_at: Option<Timestamp>,
    /// When the remote last confirmed it
    pub checked_at: Option<Timestamp>,
    /// When a client last pulled it
    pub used_at: Option<Timestamp>,
    /// Of what is here
    pub size_bytes: u64,
}

/// Whether the remote would be asked before the next pull is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheState {
    /// It would not
    Fresh,
    /// It would; if it cannot be asked, what is here is served
    Stale,
    /// Pushed here ahead of use
    Seeded,
}

/// Content that an image has and this server has not.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MissingContent {
    pub digest: String,
    pub kind: ContentKind,
    /// Such as `linux/arm64`
    pub platform: Option<String>,
    pub size_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContentKind {
    Manifest,
    Blob,
}

/// Which entry is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EntryQuery {
    /// The repository, project first
    #[param(value_type = String, example = "docker.io/library/nginx")]
    pub(super) name: Name,
    /// A tag or a digest
    #[param(value_type = String, example = "1.27")]
    pub(super) reference: Reference,
}

impl EntryQuery {
    /// The first component is the project: names are not completed here as they are for pulls.
    pub(super) fn repository(&self, mirror: &Mirror) -> Result<Repository, Problem> {
        let project = self.name.first();
        if mirror.projects().get(project).is_none() {
            return Err(Problem::not_found(format!(
                "no project is named `{project}`: a name begins with its project, as in docker.io/library/nginx"
            )));
        }
        Ok(mirror.resolve(&self.name, None, &Caller::admin())?)
    }

    /// Is it of a project that is pushed to? What is pinned there is not retired.
    pub(super) fn is_hosted(&self, mirror: &Mirror) -> bool {
        let projects = mirror.projects();
        let project = projects.get(self.name.first());
        project.is_some_and(|project| !project.is_mirror())
    }

    /// The entry as people write it.
    pub(super) fn written(&self, repository: &Name) -> String {
        let separator = match self.reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        format!("{}{separator}{}", repository, self.reference)
    }
}

impl<S: Sync> FromRequestParts<S> for EntryQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let (name, reference) = (fields.required("name"), fields.required("reference"));
        let query = name.zip(reference);
        fields.finish(query.map(|(name, reference)| Self { name, reference }))
    }
}

impl From<Entry> for CacheEntry {
    fn from(entry: Entry) -> Self {
        Self {
            name: entry.name.to_string(),
            reference: entry.reference.to_string(),
            digest: entry.digest.to_string(),
            complete: entry.complete,
            missing: entry.missing.into_iter().map(Into::into).collect(),
            state: match entry.state {
                EntryState::Fresh => CacheState::Fresh,
                EntryState::Stale => CacheState::Stale,
                EntryState::Seeded => CacheState::Seeded,
            },
            pinned: entry.pinned,
            filled_at: entry.filled_at.map(Into::into),
            checked_at: entry.checked_at.map(Into::into),
            used_at: entry.used_at.map(Into::into),
            size_bytes: entry.size_bytes,
        }
    }
}

impl From<Missing> for MissingContent {
    fn from(missing: Missing) -> Self {
        Self {
            digest: missing.digest.to_string(),
            kind: match missing.kind {
                MissingKind::Manifest => ContentKind::Manifest,
                MissingKind::Blob => ContentKind::Blob,
            },
            platform: missing.platform,
            size_bytes: missing.size_bytes,
        }
    }
}
