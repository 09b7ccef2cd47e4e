//! Amazon ECR: `GetAuthorizationToken`, signed with an access key or with what AWS' own tools find (environment, web identity,
//! container and instance roles; by `object_store`). The login is a name and a password that last for twelve hours.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Method, header};
use object_store::{
    BackoffConfig, RetryConfig, StaticCredentialProvider,
    aws::{
        AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential, AwsCredentialProvider,
    },
    client::HttpRequestBody,
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{
    CredentialError,
    api::{Api, Reply},
    known,
    profile::{Abilities, Profile},
    service::{Service, Terms},
};
use crate::{
    client::{
        credentials::{Grant, Login, Source},
        error::clean,
    },
    config::{self, RepositoryOptions, cloud::amazon_domain},
};

/// The variables that say who we are at AWS; others are for its storage.
const VARIABLES: [(&str, AmazonS3ConfigKey); 10] = [
    ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
    ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
    (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        AmazonS3ConfigKey::WebIdentityTokenFile,
    ),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    ),
];
/// `Renewal` decides when to ask again.
const RETRIES: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(1),
        base: 2.0,
    },
    max_retries: 2,
    retry_timeout: Duration::from_secs(20),
};

pub(super) const PROFILE: Profile = Profile {
    title: "Amazon ECR",
    url_hint: "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    credential_hint: "an access key: its id and its secret; or \"environment\" for the role of this machine",
    fields: &[
        "account",
        "region",
        "credentials",
        "image_tag_mutability",
        "scan_on_push",
        "encryption_type",
        "kms_key",
    ],
    can: Abilities {
        create: true,
        delete_tag: true,
        chunk: false,
        mount: false,
        referrers: true,
    },
};

/// The token service of one region, or of the public gallery.
pub(super) struct Ecr {
    api: Api,
    endpoint: Url,
    region: String,
    /// (name for the signature, what is before the operation)
    service: (&'static str, &'static str),
    key: AwsCredentialProvider,
    /// Whose registry it is, if the URL tells.
    account: Option<String>,
    /// How repositories are made.
    repositories: RepositoryOptions,
}

const PRIVATE: (&str, &str) = ("ecr", "AmazonEC2ContainerRegistry_V20150921");
const PUBLIC: (&str, &str) = ("ecr-public", "SpencerFrontendService");
const TERMS: Terms = Terms {
    what: "repository",
    needs: "the rights ecr:DescribeRepositories and ecr:CreateRepository",
};

impl Ecr {
    pub(super) fn new(
        api: &Api,
        cloud: &config::Cloud,
        registry: &Url,
        region: String,
    ) -> Result<Self, String> {
        let public = is_public(registry);
        let account = registry.host_str().unwrap_or_default();
        let account = account.split('.').next().unwrap_or_default();
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let endpoint = match public {
            true => known("https://api.ecr-public.us-east-1.amazonaws.com/"),
            false => Url::parse(&format!(
                "https://api.ecr.{region}.{}/",
                amazon_domain(&region)
            ))
            .map_err(|error| format!("`region`: {error}"))?,
        };
        Ok(Self {
            api: api.clone(),
            endpoint,
            key: key(api, cloud, &region)?,
            region,
            service: if public { PUBLIC } else { PRIVATE },
            account: is_account.then(|| account.to_owned()),
            repositories: RepositoryOptions::default(),
        })
    }

    /// Repositories are made like this.
    pub(super) fn making(self, repositories: RepositoryOptions) -> Self {
        Self {
            repositories,
            ..self
        }
    }

    async fn call(&self, operation: &str, body: &Value) -> Result<Reply, CredentialError> {
        let key = self.key.get_credential().await.map_err(|error| {
            let what = "AWS gives this machine no credentials";
            CredentialError::new(what, clean(&error.to_string(), 300))
        })?;
        let body = Bytes::from(body.to_string());
        self.api.send(self.signed(&key, operation, body)?).await
    }

    /// Of a private registry, for one of its repositories.
    async fn call_for(&self, operation: &str, mut body: Value) -> Result<Value, CredentialError> {
        if let Some(account) = &self.account {
            body["registryId"] = json!(account);
        }
        self.call(operation, &body).await?.json()
    }

    /// Takes a tag from its image; the last one takes the image with it. One that is not there is deleted.
    pub(super) async fn delete_tag(&self, name: &str, tag: &str) -> Result<(), CredentialError> {
        let body = json!({"repositoryName": name, "imageIds": [{"imageTag": tag}]});
        let answer = match self.call_for("BatchDeleteImage", body).await {
            Err(error) if is_missing(&error) => return Ok(()),
            answer => answer?,
        };
        let failure = &answer["failures"][0];
        match failure["failureCode"].as_str() {
            None | Some("ImageNotFound") => Ok(()),
            Some(code) => {
                let reason = failure["failureReason"].as_str().unwrap_or_default();
                let detail = clean(&format!("{code} {reason}"), 300);
                Err(CredentialError::new("ECR does not delete it", detail).refused())
            }
        }
    }

    async fn ask(&self) -> Result<Grant, CredentialError> {
        let reply = self.call("GetAuthorizationToken", &json!({})).await?;
        let body: Body = reply.json()?;
        let data = match body.authorization_data {
            Data::List(list) => list.into_iter().next(),
            Data::One(one) => Some(one),
        };
        data.and_then(Authorization::grant)
            .ok_or_else(|| reply.unusable())
    }

    fn signed(
        &self,
        key: &AwsCredential,
        operation: &str,
        body: Bytes,
    ) -> Result<reqwest::Request, CredentialError> {
        let failed =
            |detail: String| CredentialError::new("the request to AWS cannot be signed", detail);
        let (service, prefix) = self.service;
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.as_str())
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", format!("{prefix}.{operation}"))
            .body(HttpRequestBody::from(body.clone()))
            .map_err(|error| failed(error.to_string()))?;
        AwsAuthorizer::new(key, service, &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| failed(error.to_string()))?;
        let mut signed = reqwest::Request::new(Method::POST, self.endpoint.clone());
        *signed.headers_mut() = request.into_parts().0.headers;
        *signed.body_mut() = Some(body.into());
        Ok(signed)
    }
}

/// Amazon's gallery, whose repositories are made by hand.
pub(super) fn is_public(registry: &Url) -> bool {
    registry.host_str() == Some("public.ecr.aws")
}

fn is_missing(error: &CredentialError) -> bool {
    error.is_refusal && error.detail.contains("RepositoryNotFoundException")
}

impl Service for Ecr {
    fn terms(&self) -> Terms {
        TERMS
    }

    fn is_there<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, CredentialError>> {
        async move {
            let body = json!({"repositoryNames": [name]});
            match self.call_for("DescribeRepositories", body).await {
                Ok(_) => Ok(true),
                Err(error) if is_missing(&error) => Ok(false),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn make<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), CredentialError>> {
        async move {
            let body = creation(name, &self.repositories);
            self.call_for("CreateRepository", body).await.map(drop)
        }
        .boxed()
    }
}

impl Source for Ecr {
    fn fetch(&self) -> BoxFuture<'_, Result<Grant, CredentialError>> {
        self.ask().boxed()
    }
}

/// The body of `CreateRepository`; what it leaves out is as the registry's own settings say.
fn creation(name: &str, options: &RepositoryOptions) -> Value {
    let mut body = json!({"repositoryName": name});
    if let Some(mutability) = options.tag_mutability {
        body["imageTagMutability"] = json!(mutability.as_str());
    }
    if let Some(scan_on_push) = options.scan_on_push {
        body["imageScanningConfiguration"] = json!({"scanOnPush": scan_on_push});
    }
    if let Some(encryption) = options.encryption {
        body["encryptionConfiguration"] = json!({"encryptionType": encryption.as_str()});
    }
    if let Some(key) = &options.kms_key {
        body["encryptionConfiguration"]["kmsKey"] = json!(key);
    }
    body
}

/// The configured key, else what AWS' own tools find.
fn key(api: &Api, cloud: &config::Cloud, region: &str) -> Result<AwsCredentialProvider, String> {
    if let Some(key) = &cloud.key {
        let credential = AwsCredential {
            key_id: key.id.clone(),
            secret_key: key.secret.expose().to_owned(),
            token: None,
        };
        return Ok(Arc::new(StaticCredentialProvider::new(credential)));
    }
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name("none")
        .with_region(region)
        .with_retry(RETRIES)
        .with_http_connector(api.clone());
    for (variable, key) in VARIABLES {
        if let Some(value) = cloud.environment.get(variable) {
            builder = builder.with_config(key, value);
        }
    }
    let built = builder
        .build()
        .map_err(|error| clean(&error.to_string(), 300))?;
    Ok(Arc::clone(built.credentials()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    authorization_data: Data,
}

/// A list of one from private registries, the thing itself from the public gallery.
#[derive(Deserialize)]
#[serde(untagged)]
enum Data {
    List(Vec<Authorization>),
    One(Authorization),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: String,
    /// Seconds since 1970.
    expires_at: f64,
}

impl Authorization {
    fn grant(self) -> Option<Grant> {
        let decoded = BASE64_STANDARD.decode(self.authorization_token).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (username, password) = decoded.split_once(':')?;
        let end = Duration::try_from_secs_f64(self.expires_at).ok()?;
        let end = SystemTime::UNIX_EPOCH.checked_add(end)?;
        Some(Grant {
            login: Some(Login::password(username, password)),
            lifetime: end.duration_since(SystemTime::now()).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
impl Ecr {
    pub(super) fn at(mut self, endpoint: Url) -> Self {
        self.endpoint = endpoint;
        self
    }

    pub(super) fn endpoint(&self) -> &Url {
        &self.endpoint
    }
}
