//! The client against a tiny scripted server of its own.

mod auth;
mod blobs;
mod documents;
mod failover;
mod limits;
mod lists;
mod logins;
mod push;
mod redirects;
mod retries;
pub(super) mod server;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::{ClientError, RegistryClient};
use crate::{
    config::{Credentials, Provider, Remote, RepositoryOptions, Secret},
    oci::{Digest, Name, Reference},
    telemetry::Metrics,
};

/// A remote with no credentials and timeouts that fit a test.
pub(super) fn remote(url: Url) -> Remote {
    Remote {
        name: "fake".to_owned(),
        provider: Provider::DockerRegistry,
        urls: vec![url],
        credentials: Credentials::None,
        verify_tls: true,
        ca: None,
        client_cert: None,
        proxy: None,
        connect_timeout: Duration::from_secs(2),
        header_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        retry_for: Duration::from_secs(5),
        realms: Vec::new(),
        max_connections: None,
        bandwidth: None,
        rate_reserve: 10,
        max_concurrent: None,
        allowed_hours: None,
        repositories: RepositoryOptions::default(),
    }
}

fn with_password(mut remote: Remote) -> Remote {
    remote.credentials = Credentials::Password {
        username: "u".to_owned(),
        password: Secret::new("p".to_owned()),
    };
    remote
}

fn client(remote: Remote) -> RegistryClient {
    RegistryClient::new(remote, Metrics::default()).unwrap()
}

fn name() -> Name {
    "library/nginx".parse().unwrap()
}

fn tag() -> Reference {
    "latest".parse().unwrap()
}

const BLOB: &[u8] = b"0123456789";

fn blob() -> Digest {
    Digest::sha256(BLOB)
}

async fn read(stream: &mut super::BlobStreamBody) -> Result<Bytes, ClientError> {
    let mut whole = Vec::new();
    while let Some(chunk) = stream.next().await {
        whole.extend_from_slice(&chunk?);
    }
    Ok(whole.into())
}
