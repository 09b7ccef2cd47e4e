//! `/providers`: the kinds of registries that a remote can be.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config;

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
    /// Repositories or projects can be made
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
    use config::Provider as P;
    let (title, url_hint, credential_hint) = match provider {
        P::DockerRegistry => (
            "Any registry",
            "https://registry.example.com",
            "user name and password, or a token",
        ),
        P::DockerHub => (
            "Docker Hub",
            "https://registry-1.docker.io",
            "user name and an access token as password",
        ),
        P::Entrepot => (
            "Entrepot",
            "https://entrepot.example.com",
            "a token of it: its user name and its secret as password",
        ),
        P::Harbor => (
            "Harbor",
            "https://harbor.example.com",
            "a robot account: robot$name and its secret",
        ),
        P::Ecr => (
            "Amazon ECR",
            "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com",
            "an access key: its id and its secret; or \"environment\" for the role of this machine",
        ),
        P::Google => (
            "Google Artifact Registry",
            "https://europe-docker.pkg.dev",
            "_json_key and the key file's text; or \"environment\" for the account of this machine",
        ),
        P::Azure => (
            "Azure Container Registry",
            "https://mine.azurecr.io",
            "a service principal: its id and its secret; or \"environment\" for the identity of this machine",
        ),
        P::Ghcr => (
            "GitHub Container Registry",
            "https://ghcr.io",
            "user name and a personal access token as password",
        ),
        P::Quay => (
            "Quay",
            "https://quay.io",
            "a robot account: organisation+name and its token",
        ),
        P::Gitlab => (
            "GitLab",
            "https://registry.gitlab.com",
            "a deploy token: its user name and the token as password",
        ),
        P::Aliyun => (
            "Alibaba Cloud Container Registry",
            "https://mine-registry.cn-hangzhou.cr.aliyuncs.com",
            "user name and the registry's password; or an access key: its id and its secret",
        ),
        P::Tencent => (
            "Tencent Container Registry",
            "https://mine.tencentcloudcr.com",
            "a service account; or an access key: its id and its secret",
        ),
    };
    Provider {
        id: id.to_owned(),
        title: title.to_owned(),
        url_hint: url_hint.to_owned(),
        credential_hint: credential_hint.to_owned(),
        fields: fields(provider),
        can: abilities(provider),
    }
}

fn fields(provider: config::Provider) -> Vec<String> {
    use config::Provider as P;
    let fields: &[&str] = match provider {
        P::Ecr => &["account", "region", "credentials"],
        P::Aliyun | P::Tencent => &["instance", "region", "credentials"],
        P::Google | P::Azure => &["credentials"],
        _ => &[],
    };
    fields.iter().map(|&field| field.to_owned()).collect()
}

fn abilities(provider: config::Provider) -> ProviderAbilities {
    use config::Provider as P;
    ProviderAbilities {
        // Elsewhere the first push makes the repository, or nothing does.
        create: matches!(
            provider,
            P::Entrepot | P::Harbor | P::Ecr | P::Aliyun | P::Tencent
        ),
        delete_tag: matches!(
            provider,
            P::Entrepot | P::Harbor | P::Ecr | P::Quay | P::Gitlab | P::Azure | P::DockerHub
        ),
        chunk: !matches!(provider, P::Ecr | P::Ghcr),
        mount: !matches!(provider, P::Ecr | P::Google),
        referrers: matches!(
            provider,
            P::Entrepot | P::Harbor | P::Ecr | P::Azure | P::Quay | P::DockerHub
        ),
    }
}
