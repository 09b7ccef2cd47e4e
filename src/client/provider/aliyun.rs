//! Alibaba Cloud Container Registry: `GetAuthorizationToken`, of version 2018-12-01 for an Enterprise instance and of 2016-06-07
//! for the personal edition; signed by Alibaba's signature method V3 (ACS3-HMAC-SHA256). The login lasts for an hour.

use std::time::{Duration, SystemTime};

use futures_util::{FutureExt, future::BoxFuture};
use http::Method;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::{
    CredentialError,
    api::{Api, with_headers},
    known,
    profile::{Abilities, Profile},
    signing::{Key, hmac_sha256, sha256_hex},
};
use crate::{
    client::credentials::{Grant, Login, Source},
    config,
};

pub(super) const PROFILE: Profile = Profile {
    title: "Alibaba Cloud Container Registry",
    url_hint: "https://mine-registry.cn-hangzhou.cr.aliyuncs.com",
    credential_hint: "user name and the registry's password; or an access key: its id and its secret",
    fields: &["instance", "region", "credentials"],
    can: Abilities {
        create: true,
        delete_tag: false,
        chunk: true,
        mount: true,
        referrers: false,
    },
};

pub(super) struct Aliyun {
    api: Api,
    endpoint: Url,
    metadata: Url,
    instance: Option<String>,
    key: Option<Key>,
    /// Of the machine; asked for if it is not told.
    role: Option<String>,
}

impl Aliyun {
    pub(super) fn new(api: Api, cloud: &config::Cloud, region: &str) -> Result<Self, String> {
        let endpoint = Url::parse(&format!("https://cr.{region}.aliyuncs.com/"));
        let variable = |name| cloud.environment.get(name);
        let names = [
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            "ALIBABA_CLOUD_SECURITY_TOKEN",
        ];
        Ok(Self {
            api,
            endpoint: endpoint.map_err(|error| format!("`region`: {error}"))?,
            metadata: known("http://100.100.100.200/latest/"),
            instance: cloud.instance.clone(),
            key: Key::configured(cloud).or_else(|| Key::in_variables(names.map(variable))),
            role: variable("ALIBABA_CLOUD_ECS_METADATA").map(str::to_owned),
        })
    }

    async fn ask(&self) -> Result<Grant, CredentialError> {
        let machine;
        let key = if let Some(key) = &self.key {
            key
        } else {
            machine = self.machine().await?;
            &machine
        };
        let call = match &self.instance {
            Some(instance) => Call {
                method: Method::POST,
                version: "2018-12-01",
                path: "/",
                query: format!("InstanceId={instance}"),
            },
            None => Call {
                method: Method::GET,
                version: "2016-06-07",
                path: "/tokens",
                query: String::new(),
            },
        };
        let nonce = Uuid::new_v4().simple().to_string();
        let request = call.signed(&self.endpoint, key, SystemTime::now(), &nonce);
        let reply = self.api.send(request).await?;
        let body: Body = reply.json()?;
        let login = body.enterprise.login().or(body.data.login());
        login.ok_or_else(|| reply.refused())
    }

    /// The key of the machine's role, by the metadata service's session token where it gives one.
    async fn machine(&self) -> Result<Key, CredentialError> {
        let at = |path: &str| {
            let url = self.metadata.join(path);
            url.map_err(|error| {
                CredentialError::new("the machine's role has no key", error.to_string())
            })
        };
        let wanted = [("x-aliyun-ecs-metadata-token-ttl-seconds", "60")];
        let session = self
            .api
            .send(with_headers(Method::PUT, at("api/token")?, &wanted))
            .await?;
        let session = session.text().unwrap_or_default();
        let headers: &[_] = match session {
            "" => &[],
            session => &[("x-aliyun-ecs-metadata-token", session)],
        };
        let roles = "meta-data/ram/security-credentials/";
        let role = match &self.role {
            Some(role) => role.clone(),
            None => self
                .api
                .get(at(roles)?, headers)
                .await?
                .text()?
                .trim()
                .to_owned(),
        };
        let reply = self
            .api
            .get(at(&format!("{roles}{role}"))?, headers)
            .await?;
        let key: RoleKey = reply.json()?;
        Ok(Key {
            id: key.access_key_id,
            secret: config::Secret::new(key.access_key_secret),
            session: Some(key.security_token),
        })
    }
}

impl Source for Aliyun {
    fn fetch(&self) -> BoxFuture<'_, Result<Grant, CredentialError>> {
        self.ask().boxed()
    }
}

/// One call of `GetAuthorizationToken`; no parts of path and query need to be encoded.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) version: &'static str,
    pub(super) path: &'static str,
    pub(super) query: String,
}

impl Call {
    fn signed(&self, endpoint: &Url, key: &Key, now: SystemTime, nonce: &str) -> reqwest::Request {
        let mut url = endpoint.clone();
        url.set_path(self.path);
        url.set_query(Some(self.query.as_str()).filter(|query| !query.is_empty()));
        let date = humantime::format_rfc3339_seconds(now).to_string();
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let empty = sha256_hex(b"");
        let session = key.session.as_deref();
        let headers = [
            ("host", Some(host.as_str())),
            ("x-acs-action", Some("GetAuthorizationToken")),
            ("x-acs-content-sha256", Some(empty.as_str())),
            ("x-acs-date", Some(date.as_str())),
            ("x-acs-security-token", session),
            ("x-acs-signature-nonce", Some(nonce)),
            ("x-acs-version", Some(self.version)),
        ];
        let headers = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let headers: Vec<(&'static str, &str)> = headers.collect();
        let authorization = self.authorization(key, &headers);
        let mut request = with_headers(self.method.clone(), url, &headers[1..]);
        let authorization = authorization.try_into();
        if let Ok(value) = authorization {
            request
                .headers_mut()
                .insert(http::header::AUTHORIZATION, value);
        }
        request
    }

    /// `headers`: all that are signed, sorted by name. The body is empty.
    pub(super) fn authorization(&self, key: &Key, headers: &[(&'static str, &str)]) -> String {
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"));
        let request = format!(
            "{}\n{}\n{}\n{}\n{names}\n{}",
            self.method,
            self.path,
            self.query,
            lines.collect::<String>(),
            sha256_hex(b"")
        );
        let text = format!("ACS3-HMAC-SHA256\n{}", sha256_hex(request.as_bytes()));
        let signature = hmac_sha256(key.secret.expose().as_bytes(), text.as_bytes());
        format!(
            "ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={}",
            key.id,
            hex::encode(signature)
        )
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(flatten)]
    enterprise: Token,
    #[serde(default)]
    data: Token,
}

/// Both versions say the same in other words.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Token {
    #[serde(alias = "TempUsername", alias = "tempUserName")]
    username: String,
    #[serde(alias = "AuthorizationToken", alias = "authorizationToken")]
    password: String,
    /// Milliseconds since 1970.
    #[serde(alias = "ExpireTime", alias = "expireDate")]
    expires_at: u64,
}

impl Token {
    fn login(self) -> Option<Grant> {
        if self.username.is_empty() || self.password.is_empty() {
            return None;
        }
        let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.expires_at))?;
        Some(Grant {
            login: Some(Login::password(&self.username, &self.password)),
            lifetime: end.duration_since(SystemTime::now()).unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleKey {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
}

#[cfg(test)]
impl Aliyun {
    pub(super) fn at(mut self, endpoint: Url, metadata: Url) -> Self {
        self.endpoint = endpoint;
        self.metadata = metadata;
        self
    }

    pub(super) fn endpoint(&self) -> &Url {
        &self.endpoint
    }
}
