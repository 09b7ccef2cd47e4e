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
mod service;
mod signing;
mod tencent;

#[cfg(test)]
mod tests;

use url::Url;

pub use self::profile::{Abilities, Profile};
use self::service::{Service, failed, make_at};
use super::{
    ClientError, RegistryClient,
    credentials::{CredentialError, Source},
    project::Made,
};
use crate::{
    config::{self, Provider},
    oci::{Name, Tag},
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

/// What must be there before a push to a repository, where the provider has such a thing and we can make it: clouds' services
/// want an access key, or the environment's.
pub(super) fn needed<'n>(remote: &config::Remote, name: &'n Name) -> Option<&'n str> {
    match remote.provider {
        Provider::Entrepot | Provider::Harbor => Some(name.first()),
        Provider::Ecr if ecr_of(remote).is_some() => Some(name.as_str()),
        Provider::Tencent => cloud(remote).map(|_| name.first()),
        Provider::Aliyun => cloud(remote)?.instance.as_ref().map(|_| name.first()),
        _ => None,
    }
}

fn cloud(remote: &config::Remote) -> Option<&config::Cloud> {
    match &remote.credentials {
        config::Credentials::Cloud(cloud) => Some(cloud),
        _ => None,
    }
}

/// The credentials for the service of a private registry at Amazon, and the registry.
fn ecr_of(remote: &config::Remote) -> Option<(&config::Cloud, &Url)> {
    let url = remote.urls.first()?;
    let is_private = remote.provider == Provider::Ecr && !ecr::is_public(url);
    cloud(remote)
        .filter(|_| is_private)
        .map(|cloud| (cloud, url))
}

/// What makes namespaces and repositories for a remote; `None`: it has none.
fn service(remote: &config::Remote) -> Result<Option<Box<dyn Service>>, String> {
    let (Some(cloud), Some(url)) = (cloud(remote), remote.urls.first()) else {
        return Ok(None);
    };
    let region = cloud.region_of(remote.provider, url);
    Ok(match remote.provider {
        Provider::Ecr => Some(Box::new(ecr(remote, cloud, url)?)),
        Provider::Aliyun => {
            let api = api::Api::new(remote)?;
            Some(Box::new(aliyun::Aliyun::new(
                api,
                cloud,
                &required(region)?,
            )?))
        }
        Provider::Tencent => {
            let api = api::Api::new(remote)?;
            Some(Box::new(tencent::Tencent::new(api, cloud, url)))
        }
        _ => None,
    })
}

fn ecr(remote: &config::Remote, cloud: &config::Cloud, url: &Url) -> Result<ecr::Ecr, String> {
    let region = required(cloud.region_of(Provider::Ecr, url))?;
    let ecr = ecr::Ecr::new(&api::Api::new(remote)?, cloud, url, region)?;
    Ok(ecr.making(remote.repositories.clone()))
}

/// Makes sure that what a push to this repository needs is there.
pub(super) async fn make_project(
    client: &RegistryClient,
    name: &Name,
) -> Result<Made, ClientError> {
    let Some(project) = needed(client.remote(), name) else {
        return Ok(Made::There);
    };
    match client.remote().provider {
        Provider::Entrepot => entrepot::make_project(client, name).await,
        Provider::Harbor => harbor::make_project(client, project).await,
        _ => match service(client.remote()).map_err(|why| client.invalid(why))? {
            Some(service) => make_at(service.as_ref(), client, project).await,
            None => Ok(Made::There),
        },
    }
}

/// Deletes a tag alone, where that is not by the registry API; `None`: it is.
pub(super) async fn delete_tag(
    client: &RegistryClient,
    name: &Name,
    tag: &Tag,
) -> Option<Result<(), ClientError>> {
    if client.remote().provider == Provider::Harbor {
        return Some(harbor::delete_tag(client, name, tag).await);
    }
    let (cloud, url) = ecr_of(client.remote())?;
    let ecr = match ecr(client.remote(), cloud, url) {
        Ok(ecr) => ecr,
        Err(why) => return Some(Err(client.invalid(why))),
    };
    let deleted = ecr.delete_tag(name.as_str(), tag.as_str()).await;
    Some(deleted.map_err(|error| failed(client, &error)))
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
        Provider::Ecr => Box::new(ecr(remote, cloud, url)?),
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
