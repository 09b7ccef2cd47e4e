//! Alibaba Cloud Container Registry: `GetAuthorizationToken`, of version 2018-12-01 for an Enterprise instance and of 2016-06-07
//! for the personal edition (whose namespaces are made by hand); signed by Alibaba's signature method V3 (ACS3-HMAC-SHA256). The login lasts for an hour.

use std::time::{Duration, SystemTime};

use futures_util::{FutureExt, future::BoxFuture};
use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::{
    CredentialError,
    api::{Api, Reply, with_headers},
    known,
    profile::{Abilities, Profile},
    service::{Service, Terms},
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

const TERMS: Terms = Terms {
    what: "namespace",
    needs: "the rights cr:ListNamespace and cr:CreateNamespace",
};
const ENTERPRISE: &str = "2018-12-01";

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
        let call = match &self.instance {
            Some(instance) => {
                Call::enterprise("GetAuthorizationToken", format!("InstanceId={instance}"))
            }
            None => Call {
                action: "GetAuthorizationToken",
                method: Method::GET,
                version: "2016-06-07",
                path: "/tokens",
                query: String::new(),
            },
        };
        let reply = self.send(&call).await?;
        let body: Body = reply.json()?;
        let login = body.enterprise.login().or(body.data.login());
        login.ok_or_else(|| reply.refused())
    }

    async fn send(&self, call: &Call) -> Result<Reply, CredentialError> {
        let machine;
        let key = if let Some(key) = &self.key {
            key
        } else {
            machine = self.machine().await?;
            &machine
        };
        let nonce = Uuid::new_v4().simple().to_string();
        let request = call.signed(&self.endpoint, key, SystemTime::now(), &nonce);
        self.api.send(request).await
    }

    /// A call about the Enterprise instance; `before` and `after` are what of the query sorts before and after its id.
    async fn call_for<T: DeserializeOwned>(
        &self,
        action: &'static str,
        before: &str,
        after: &str,
    ) -> Result<T, CredentialError> {
        let instance = self.instance.as_deref().unwrap_or_default();
        let query = format!("{before}InstanceId={instance}{after}");
        let reply = self.send(&Call::enterprise(action, query)).await?;
        let answer: Value = reply.json()?;
        // A refusal is an answer with status 200 too.
        if answer["IsSuccess"] == false {
            return Err(reply.refused());
        }
        T::deserialize(answer).map_err(|_| reply.unusable())
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

impl Service for Aliyun {
    fn terms(&self) -> Terms {
        TERMS
    }

    fn is_there<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, CredentialError>> {
        async move {
            let after = format!("&NamespaceName={name}&PageNo=1&PageSize=100");
            let found: Namespaces = self.call_for("ListNamespace", "", &after).await?;
            Ok(found.namespaces.iter().any(|found| found.name == name))
        }
        .boxed()
    }

    /// A push makes the repositories in it, private ones.
    fn make<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), CredentialError>> {
        async move {
            let before = "AutoCreateRepo=true&DefaultRepoType=PRIVATE&";
            let after = format!("&NamespaceName={name}");
            let _: Value = self.call_for("CreateNamespace", before, &after).await?;
            Ok(())
        }
        .boxed()
    }
}

impl Source for Aliyun {
    fn fetch(&self) -> BoxFuture<'_, Result<Grant, CredentialError>> {
        self.ask().boxed()
    }
}

/// One call; no parts of path and query need to be encoded, and the query is sorted.
pub(super) struct Call {
    pub(super) action: &'static str,
    pub(super) method: Method,
    pub(super) version: &'static str,
    pub(super) path: &'static str,
    pub(super) query: String,
}

impl Call {
    fn enterprise(action: &'static str, query: String) -> Self {
        Self {
            action,
            method: Method::POST,
            version: ENTERPRISE,
            path: "/",
            query,
        }
    }

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
            ("x-acs-action", Some(self.action)),
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
struct Namespaces {
    #[serde(default)]
    namespaces: Vec<Namespace>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "NamespaceName")]
    name: String,
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
