//! Google's Container Registry and Artifact Registry: the access token of this machine's or pod's service account, from the
//! metadata server; or the key file that `GOOGLE_APPLICATION_CREDENTIALS` names, which is itself a password.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
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

const MAX_KEY_BYTES: u64 = 64 * 1024;
/// How long a key file is not looked at again.
const KEY_LIFETIME: Duration = Duration::from_mins(5);

pub(super) const PROFILE: Profile = Profile {
    title: "Google Artifact Registry",
    url_hint: "https://europe-docker.pkg.dev",
    credential_hint: "_json_key and the key file's text; or \"environment\" for the account of this machine",
    fields: &["credentials"],
    can: Abilities {
        create: false,
        delete_tag: false,
        chunk: true,
        mount: false,
        referrers: false,
    },
};

pub(super) struct Google {
    api: Api,
    metadata: Url,
    key_file: Option<String>,
}

impl Google {
    pub(super) fn new(api: Api, cloud: &config::Cloud) -> Self {
        let key_file = cloud.environment.get("GOOGLE_APPLICATION_CREDENTIALS");
        Self {
            api,
            metadata: known("http://metadata.google.internal/"),
            key_file: key_file.map(str::to_owned),
        }
    }

    async fn ask(&self) -> Result<Grant, CredentialError> {
        match &self.key_file {
            Some(path) => read_key(path).await,
            None => self.machine().await,
        }
    }

    async fn machine(&self) -> Result<Grant, CredentialError> {
        let path = "computeMetadata/v1/instance/service-accounts/default/token";
        let url = self.metadata.join(path).expect("the path is written here");
        let reply = self.api.get(url, &[("metadata-flavor", "Google")]).await?;
        let token: AccessToken = reply.json()?;
        Ok(Grant {
            login: Some(Login::password("oauth2accesstoken", &token.access_token)),
            lifetime: Duration::from_secs(token.expires_in),
        })
    }
}

impl Source for Google {
    fn fetch(&self) -> BoxFuture<'_, Result<Grant, CredentialError>> {
        self.ask().boxed()
    }
}

async fn read_key(path: &str) -> Result<Grant, CredentialError> {
    let failed = |detail: &str| {
        let detail = format!("`{path}`: {detail}");
        CredentialError::new(
            "the file in GOOGLE_APPLICATION_CREDENTIALS gives none",
            detail,
        )
        .refused()
    };
    let mut key = String::new();
    let read = async {
        let file = tokio::fs::File::open(path).await?;
        file.take(MAX_KEY_BYTES).read_to_string(&mut key).await
    };
    read.await.map_err(|error| failed(&error.to_string()))?;
    let kind: KeyFile = serde_json::from_str(&key).map_err(|_| failed("it is no key file"))?;
    match kind.kind.as_str() {
        "service_account" => Ok(Grant {
            login: Some(Login::password("_json_key", &key)),
            lifetime: KEY_LIFETIME,
        }),
        other => Err(failed(&format!(
            "it is of type `{other}`; only `service_account` is taken"
        ))),
    }
}

#[derive(Deserialize)]
struct AccessToken {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
}

#[cfg(test)]
impl Google {
    pub(super) fn at(mut self, metadata: Url) -> Self {
        self.metadata = metadata;
        self
    }
}
