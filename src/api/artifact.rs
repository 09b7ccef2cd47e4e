//! `/artifact`: one manifest of a repository, and what it names.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{FromRequestParts, State},
};
use http::{StatusCode, request};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, problem::Problem, query::Fields, repositories::may_delete, timestamp::Timestamp};
use crate::{
    access::Caller,
    mirror::platform,
    oci::{Descriptor, Digest, Manifest, ManifestKind, Name, Reference},
    push::Repository,
};

/// A manifest with what it names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    pub name: String,
    pub reference: String,
    pub digest: String,
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Of the manifest and all that it names
    pub size_bytes: u64,
    /// Of an index
    pub platforms: Vec<ArtifactPlatform>,
    /// Of an image or another manifest that names blobs
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Layer>,
    pub layers: Vec<Layer>,
    pub annotations: BTreeMap<String, String>,
    /// Set by `PUT /artifact/labels`
    pub labels: Vec<String>,
    /// The manifest that this one is about
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Manifests that are about this one
    pub referrers: Vec<ArtifactReferrer>,
    pub created_at: Option<Timestamp>,
    /// When a client last pulled it
    pub used_at: Option<Timestamp>,
}

/// A manifest below an index.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ArtifactPlatform {
    /// Such as `linux/arm64`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    pub digest: String,
    pub size_bytes: Option<u64>,
    /// It is here
    pub present: bool,
}

/// A blob that a manifest names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Layer {
    pub digest: String,
    pub media_type: String,
    pub size_bytes: Option<u64>,
}

/// A manifest that is about another one: a signature, a bill of materials.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ArtifactReferrer {
    pub digest: String,
    pub artifact_type: Option<String>,
    pub size_bytes: Option<u64>,
}

/// Which manifest.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ArtifactQuery {
    /// The repository, project first
    #[param(value_type = String, example = "team/app")]
    pub(super) name: Name,
    /// A tag or a digest
    #[param(value_type = String, example = "1.0")]
    reference: Reference,
}

#[utoipa::path(
    get, path = "/artifact", tag = "repositories", operation_id = "getArtifact", params(ArtifactQuery),
    responses(
        (status = 200, description = "The manifest", body = Artifact),
        (status = 404, description = "It is not here, or the caller may not pull it"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: ArtifactQuery,
) -> Result<Json<Artifact>, Problem> {
    let ArtifactQuery { name, reference } = &query;
    if !api.parts.projects.now().may_pull(&caller, name) {
        return Err(query.missing());
    }
    let (meta, mirror) = (&api.parts.meta, &api.parts.mirror);
    let digest = query.digest(&api).await?;
    let held = meta.manifest_held(name, &digest).await?;
    let held = held.ok_or_else(|| query.missing())?;
    let row = meta.manifest(name, &digest).await?;
    let row = row.ok_or_else(|| query.missing())?;
    let bytes = mirror.manifest_bytes(&digest).await?;
    let manifest = Manifest::parse(&bytes.ok_or_else(|| query.missing())?);
    let referrers = meta.manifest_referrers(name, &digest).await?;
    let mut blobs: Vec<Layer> = manifest.blobs.iter().map(Layer::from).collect();
    // The config is named before the layers, where there is one.
    let has_config = manifest.kind == ManifestKind::Manifest && !blobs.is_empty();
    let config = has_config.then(|| blobs.remove(0));
    Ok(Json(Artifact {
        name: name.to_string(),
        reference: reference.to_string(),
        digest: digest.to_string(),
        media_type: row.media_type,
        artifact_type: manifest.artifact_type,
        size_bytes: mirror.outline(name, &digest).await?.size_bytes,
        platforms: platforms(&api, name, &manifest.manifests).await?,
        config,
        layers: blobs,
        annotations: manifest.annotations.unwrap_or_default(),
        labels: meta.labels(name, &digest).await?,
        subject: manifest.subject.map(|subject| subject.digest.to_string()),
        referrers: referrers.into_iter().map(Into::into).collect(),
        created_at: Some(held.created_at.into()),
        used_at: held.used_at.map(Into::into),
    }))
}

#[utoipa::path(
    delete, path = "/artifact", tag = "repositories", operation_id = "deleteArtifact", params(ArtifactQuery),
    responses(
        (status = 204, description = "It is gone: a tag alone, or a manifest with all of its tags"),
        (status = 404, description = "It was not here, or the caller may not pull it"),
        (status = 409, description = "It is of a mirror, or its tag is immutable"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: ArtifactQuery,
) -> Result<StatusCode, Problem> {
    may_delete(&api, &caller, &query.name)?;
    let projects = api.parts.projects.now();
    let project = projects.get(query.name.first());
    let repository = Repository {
        project: Arc::clone(project.ok_or_else(|| query.missing())?),
        name: query.name.clone(),
    };
    let pushes = &api.parts.pushes;
    match &query.reference {
        Reference::Tag(tag) => drop(pushes.delete_tag(&repository, tag, None).await?),
        Reference::Digest(digest) => {
            pushes.delete_manifest(&repository, digest).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn platforms(
    api: &Api,
    name: &Name,
    children: &[Descriptor],
) -> Result<Vec<ArtifactPlatform>, Problem> {
    let mut platforms = Vec::new();
    for child in children {
        let is_here = api.parts.meta.manifest_held(name, &child.digest).await?;
        platforms.push(ArtifactPlatform {
            platform: platform(child),
            digest: child.digest.to_string(),
            size_bytes: child.size,
            present: is_here.is_some(),
        });
    }
    Ok(platforms)
}

impl ArtifactQuery {
    /// The manifest that is meant, here or not.
    pub(super) async fn digest(&self, api: &Api) -> Result<Digest, Problem> {
        match &self.reference {
            Reference::Digest(digest) => Ok(digest.clone()),
            Reference::Tag(tag) => {
                let row = api.parts.meta.tag(&self.name, tag).await?;
                Ok(row.ok_or_else(|| self.missing())?.target.digest)
            }
        }
    }

    pub(super) fn missing(&self) -> Problem {
        let Self { name, reference } = self;
        let written = match reference {
            Reference::Tag(tag) => format!("{name}:{tag}"),
            Reference::Digest(digest) => format!("{name}@{digest}"),
        };
        Problem::not_found(format!("there is no {written} here"))
    }
}

impl From<&Descriptor> for Layer {
    fn from(descriptor: &Descriptor) -> Self {
        Self {
            digest: descriptor.digest.to_string(),
            media_type: descriptor.media_type.clone(),
            size_bytes: descriptor.size,
        }
    }
}

impl From<Descriptor> for ArtifactReferrer {
    fn from(descriptor: Descriptor) -> Self {
        Self {
            digest: descriptor.digest.to_string(),
            artifact_type: descriptor.artifact_type,
            size_bytes: descriptor.size,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for ArtifactQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let name = fields.required("name");
        let reference = fields.required("reference");
        let query = name.zip(reference);
        fields.finish(query.map(|(name, reference)| Self { name, reference }))
    }
}
