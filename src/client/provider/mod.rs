//! What providers do in their own ways, one file each: its `PROFILE` says what it can do, its `make_project` makes what a push
//! needs there. Clouds also give out logins that last for hours, for an access key or for what this machine is. Each speaks
//! the provider's public API; the endpoints of clouds can be set in tests only.
//!
//! Docker Hub, GHCR, Quay, Harbor and GitLab log in as every registry does: with a name and a password or token.

mod aliyun;
mod api;
mod azure;
mod docker_hub;
mod ecr;
mod entrepot;
mod generic;
mod ghcr;
mod gitlab;
mod google;
mod harbor;
mod profile;
mod quay;
mod signing;
mod tencent;

#[cfg(test)]
mod tests;

use url::Url;

pub use self::profile::{Abilities, Profile};
use super::{
    ClientError, RegistryClient,
    credentials::{CredentialError, Source},
    project::Made,
};
use crate::{
    config::{self, Provider},
    oci::Name,
};

/// What a kind of registry is and can do.
pub fn profile(provider: Provider) -> &'static Profile {
    match provider {
        Provider::DockerRegistry => &generic::PROFILE,
        Provider::DockerHub => &docker_hub::PROFILE,
        Provider::Entrepot => &entrepot::PROFILE,
        Provider::Harbor => &harbor::PROFILE,
        Provider::Ecr => &ecr::PROFILE,
        Provider::Google => &google::PROFILE,
        Provider::Azure => &azure::PROFILE,
        Provider::Ghcr => &ghcr::PROFILE,
        Provider::Quay => &quay::PROFILE,
        Provider::Gitlab => &gitlab::PROFILE,
        Provider::Aliyun => &aliyun::PROFILE,
        Provider::Tencent => &tencent::PROFILE,
    }
}

/// What must be there before a push to a repository, where the provider has such a thing and we can make it.
pub(super) fn needed(provider: Provider, name: &Name) -> Option<&str> {
    match provider {
        Provider::Entrepot | Provider::Harbor => Some(name.first()),
        _ => None,
    }
}

/// Makes sure that it is there.
pub(super) async fn make_project(
    client: &RegistryClient,
    project: &str,
) -> Result<Made, ClientError> {
    match client.remote().provider {
        Provider::Entrepot => entrepot::make_project(client, project).await,
        Provider::Harbor => harbor::make_project(client, project).await,
        _ => Ok(Made::There),
    }
}

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

/// Is our login taken, where a service beside the registry can tell? A registry that has nothing to protect asks for none.
pub(super) async fn try_login(client: &RegistryClient) -> Option<Result<(), ClientError>> {
    match client.remote().provider {
        Provider::Entrepot => entrepot::try_login(client).await,
        _ => None,
    }
}

fn required(region: Option<String>) -> Result<String, String> {
    region.ok_or_else(|| "`region` is missing".to_owned())
}

/// An endpoint that is known when this is written.
fn known(url: &str) -> Url {
    Url::parse(url).expect("the URL is written here")
}
