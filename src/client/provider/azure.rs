//! Azure Container Registry, in two steps:
//!
//! 1. an Entra token for the registry service: of a workload identity or a service principal (`AZURE_*` variables), else of
//!    this machine's managed identity
//! 2. which the registry exchanges for a refresh token, our identity token for the next hours

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use url::Url;

use super::{
    CredentialError,
    api::Api,
    known,
    profile::{Abilities, Profile},
};
use crate::{
    client::credentials::{Grant, Login, Source},
    config,
};

const RESOURCE: &str = "https://containerregistry.azure.net";
/// If the refresh token does not say when it ends. They are made for three hours.
const LIFETIME: Duration = Duration::from_hours(1);

pub(super) const PROFILE: Profile = Profile {
    title: "Azure Container Registry",
    url_hint: "https://mine.azurecr.io",
    credential_hint: "a service principal: its id and its secret; or \"environment\" for the identity of this machine",
    fields: &["credentials"],
    can: Abilities {
        create: false,
        delete_tag: true,
        chunk: true,
        mount: true,
        referrers: true,
    },
};

pub(super) struct Azure {
    api: Api,
    /// Of the registry; the path ends with `/`.
    registry: Url,
    authority: Url,
    metadata: Url,
    variables: config::Variables,
}

impl Azure {
    pub(super) fn new(api: Api, cloud: &config::Cloud, registry: &Url) -> Self {
        let variables = cloud.environment.clone();
        let authority = variables.get("AZURE_AUTHORITY_HOST");
        let authority =
            authority.and_then(|url| Url::parse(&format!("{}/", url.trim_end_matches('/'))).ok());
        Self {
            api,
            registry: registry.clone(),
            authority: authority.unwrap_or_else(|| known("https://login.microsoftonline.com/")),
            metadata: known("http://169.254.169.254/"),
            variables,
        }
    }

    async fn ask(&self) -> Result<Grant, CredentialError> {
        let token = self.entra_token().await?;
        let service = self.registry.host_str().unwrap_or_default();
        let mut form = vec![
            ("grant_type", "access_token"),
            ("service", service),
            ("access_token", &token),
        ];
        form.extend(
            self.variables
                .get("AZURE_TENANT_ID")
                .map(|tenant| ("tenant", tenant)),
        );
        let url = joined(&self.registry, "/oauth2/exchange")?;
        let reply = self.api.post_form(url, &form).await?;
        let exchanged: Exchanged = reply.json()?;
        Ok(Grant {
            lifetime: lifetime(&exchanged.refresh_token).unwrap_or(LIFETIME),
            login: Some(Login::token(&exchanged.refresh_token)),
        })
    }

    async fn entra_token(&self) -> Result<String, CredentialError> {
        let variable = |name| self.variables.get(name);
        let reply = match (variable("AZURE_TENANT_ID"), variable("AZURE_CLIENT_ID")) {
            (Some(tenant), Some(client)) if variable("AZURE_FEDERATED_TOKEN_FILE").is_some() => {
                let file = variable("AZURE_FEDERATED_TOKEN_FILE").unwrap_or_default();
                let assertion = tokio::fs::read_to_string(file).await.map_err(|error| {
                    CredentialError::new(
                        "the file in AZURE_FEDERATED_TOKEN_FILE gives none",
                        error.to_string(),
                    )
                })?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                let proof = [
                    ("client_assertion_type", kind),
                    ("client_assertion", assertion.trim()),
                ];
                self.log_in(tenant, client, &proof).await?
            }
            (Some(tenant), Some(client)) if variable("AZURE_CLIENT_SECRET").is_some() => {
                let secret = variable("AZURE_CLIENT_SECRET").unwrap_or_default();
                self.log_in(tenant, client, &[("client_secret", secret)])
                    .await?
            }
            (_, client) => self.managed_identity(client).await?,
        };
        Ok(reply.json::<EntraToken>()?.access_token)
    }

    async fn log_in(
        &self,
        tenant: &str,
        client: &str,
        proof: &[(&str, &str)],
    ) -> Result<super::api::Reply, CredentialError> {
        let scope = format!("{RESOURCE}/.default");
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("scope", &scope),
        ];
        form.extend_from_slice(proof);
        let url = joined(&self.authority, &format!("{tenant}/oauth2/v2.0/token"))?;
        self.api.post_form(url, &form).await
    }

    async fn managed_identity(
        &self,
        client: Option<&str>,
    ) -> Result<super::api::Reply, CredentialError> {
        let mut url = joined(&self.metadata, "/metadata/identity/oauth2/token")?;
        url.query_pairs_mut()
            .append_pair("api-version", "2018-02-01")
            .append_pair("resource", RESOURCE)
            .extend_pairs(client.map(|id| ("client_id", id)));
        self.api.get(url, &[("metadata", "true")]).await
    }
}

impl Source for Azure {
    fn fetch(&self) -> BoxFuture<'_, Result<Grant, CredentialError>> {
        self.ask().boxed()
    }
}

fn joined(url: &Url, path: &str) -> Result<Url, CredentialError> {
    let joined = url.join(path);
    joined.map_err(|error| CredentialError::new("Azure cannot be asked", error.to_string()))
}

#[derive(Deserialize)]
struct EntraToken {
    access_token: String,
}

#[derive(Deserialize)]
struct Exchanged {
    refresh_token: String,
}

/// Until when a JWT says it is good; it is not ours to verify.
fn lifetime(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims = token.split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))?;
    Some(end.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
impl Azure {
    pub(super) fn at(mut self, authority: Url, metadata: Url) -> Self {
        self.authority = authority;
        self.metadata = metadata;
        self
    }
}
