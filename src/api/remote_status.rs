//! How remotes are doing, for `/status`. Known without asking them here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use crate::client::{RateBudget, RegistryClient, UrlHealth};

/// How a remote is doing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RemoteStatus {
    pub name: String,
    /// In the order in which they are asked
    pub urls: Vec<UrlStatus>,
    pub rate_limit: RateLimit,
    /// Why it refuses our login, by when it was last tried; remotes of enabled rules are tried every few minutes
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// How one URL of a remote is doing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UrlStatus {
    pub url: String,
    /// False: it is passed over until it answers again
    pub healthy: bool,
    /// Since when it is passed over
    pub since: Option<Timestamp>,
    /// Why it is passed over
    pub message: Option<String>,
}

/// What is left of a remote's limit on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RateLimit {
    /// Enough, or it has none
    Plenty,
    /// No more than the reserve: what is here is served without asking
    Low,
    /// Nothing: the remote is not asked for now
    Gone,
}

impl From<&RegistryClient> for RemoteStatus {
    fn from(client: &RegistryClient) -> Self {
        Self {
            name: client.remote().name.clone(),
            urls: client.health().into_iter().map(Into::into).collect(),
            rate_limit: match client.budget() {
                RateBudget::Plenty => RateLimit::Plenty,
                RateBudget::Low => RateLimit::Low,
                RateBudget::Gone { .. } => RateLimit::Gone,
            },
            refusal: client.refusal(),
        }
    }
}

impl From<UrlHealth> for UrlStatus {
    fn from(health: UrlHealth) -> Self {
        Self {
            url: health.url.to_string(),
            healthy: health.trouble.is_none(),
            since: health.trouble.as_ref().map(|trouble| trouble.since.into()),
            message: health.trouble.map(|trouble| trouble.message),
        }
    }
}
