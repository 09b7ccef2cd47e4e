//! What clouds do that other registries do not: give out logins that last for hours, for an access key or for what this
//! machine is. One file per provider; each speaks the provider's public API, and its endpoints can be set in tests only.
//!
//! Docker Hub, GHCR, Quay, Harbor and GitLab log in as every registry does: with a name and a password or token.

mod aliyun;
mod api;
mod azure;
mod ecr;
mod google;
mod signing;
mod tencent;

#[cfg(test)]
mod tests;

use url::Url;

use super::credentials::{CredentialError, Source};
use crate::config::{self, Provider};

/// The user name that goes with a token that has none, where the provider documents one.
pub(super) fn token_username(provider: Provider) -> Option<&'static str> {
    match provider {
        Provider::Google => Some("oauth2accesstoken"),
        Provider::Quay => Some("$oauthtoken"),
        _ => None,
    }
}

/// What gives out logins for one URL of a remote.
pub(super) fn source(
    remote: &config::Remote,
    cloud: &config::Cloud,
    url: &Url,
) -> Result<Box<dyn Source>, String> {
    let api = api::Api::new(remote)?;
    let region = cloud.region_of(remote.provider, url);
    Ok(match remote.provider {
        Provider::Ecr => Box::new(ecr::Ecr::new(&api, cloud, url, required(region)?)?),
        Provider::Google => Box::new(google::Google::new(api, cloud)),
        Provider::Azure => Box::new(azure::Azure::new(api, cloud, url)),
        Provider::Aliyun => Box::new(aliyun::Aliyun::new(api, cloud, &required(region)?)?),
        Provider::Tencent => Box::new(tencent::Tencent::new(api, cloud, url)),
        other => return Err(format!("{other:?} has no service that gives out logins")),
    })
}

fn required(region: Option<String>) -> Result<String, String> {
    region.ok_or_else(|| "`region` is missing".to_owned())
}

/// An endpoint that is known when this is written.
fn known(url: &str) -> Url {
    Url::parse(url).expect("the URL is written here")
}
