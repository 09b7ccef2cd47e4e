//! `/providers`: the kinds of registries that a remote can be.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{client, config};

/// A kind of registry.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Provider {
    #[schema(example = "docker-hub")]
    pub id: String,
    pub title: String,
    /// What its URL looks like
    pub url_hint: String,
    /// What to give as user name and password or token
    pub credential_hint: String,
    /// Members of a remote that it has besides the usual ones
    pub fields: Vec<String>,
    pub can: ProviderAbilities,
}

/// What its API can do.
#[expect(clippy::struct_excessive_bools, reason = "the contract's members")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderAbilities {
    /// Repositories or projects that a push needs are made
    pub create: bool,
    /// A tag can be deleted, and its manifest stays
    pub delete_tag: bool,
    /// Blobs can be uploaded in chunks
    pub chunk: bool,
    /// Blobs can be mounted from another repository
    pub mount: bool,
    /// It answers the referrers API
    pub referrers: bool,
}

#[utoipa::path(
    get, path = "/providers", tag = "remotes", operation_id = "listProviders",
    responses((status = 200, description = "The kinds of registries", body = Vec<Provider>))
)]
pub(super) async fn list() -> Json<Vec<Provider>> {
    Json(
        config::Provider::all()
            .map(|(id, provider)| described(id, provider))
            .collect(),
    )
}

fn described(id: &str, provider: config::Provider) -> Provider {
    let profile = client::profile(provider);
    Provider {
        id: id.to_owned(),
        title: profile.title.to_owned(),
        url_hint: profile.url_hint.to_owned(),
        credential_hint: profile.credential_hint.to_owned(),
        fields: profile
            .fields
            .iter()
            .map(|&field| field.to_owned())
            .collect(),
        can: profile.can.into(),
    }
}

impl From<client::Abilities> for ProviderAbilities {
    fn from(abilities: client::Abilities) -> Self {
        Self {
            create: abilities.create,
            delete_tag: abilities.delete_tag,
            chunk: abilities.chunk,
            mount: abilities.mount,
            referrers: abilities.referrers,
        }
    }
}
