//! Tencent Container Registry (Enterprise): `CreateInstanceToken`, after the instance's id was found by its name; signed by
//! Tencent's API 3.0 (TC3-HMAC-SHA256). The login lasts for an hour.

use std::time::{Duration, SystemTime};

use futures_util::{FutureExt, future::BoxFuture};
use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use url::Url;

use super::{
    CredentialError,
    api::{Api, Problem, with_headers},
    known,
    profile::{Abilities, Profile},
    service::{Service, Terms},
    signing::{Key, hmac_sha256, sha256_hex},
};
use crate::{
    client::credentials::{Grant, Login, Source},
    config,
};

const TERMS: Terms = Terms {
    what: "namespace",
    needs: "the rights tcr:DescribeNamespaces and tcr:CreateNamespace",
};
const SERVICE: &str = "tcr";
const VERSION: &str = "2019-09-24";
/// Where to ask for the instances of all regions.
const ANY_REGION: &str = "ap-guangzhou";
const CONTENT_TYPE: &str = "application/json; charset=utf-8";
/// If the answer does not say when the login ends.
const LIFETIME: Duration = Duration::from_mins(30);

pub(super) const PROFILE: Profile = Profile {
    title: "Tencent Container Registry",
    url_hint: "https://mine.tencentcloudcr.com",
    credential_hint: "a service account; or an access key: its id and its secret",
    fields: &["instance", "region", "credentials"],
    can: Abilities {
        create: true,
        delete_tag: false,
        chunk: true,
        mount: true,
        referrers: false,
    },
};

pub(super) struct Tencent {
    api: Api,
    endpoint: Url,
    metadata: Url,
    /// Name, or id `tcr-…`.
    instance: String,
    region: Option<String>,
    key: Option<Key>,
}

/// An instance as the API knows it.
struct Instance {
    id: String,
    region: String,
}

impl Tencent {
    pub(super) fn new(api: Api, cloud: &config::Cloud, registry: &Url) -> Self {
        let host = registry.host_str().unwrap_or_default();
        let name = host.split('.').next().unwrap_or_default();
        let variable = |name| cloud.environment.get(name);
        let names = [
            "TENCENTCLOUD_SECRET_ID",
            "TENCENTCLOUD_SECRET_KEY",
            "TENCENTCLOUD_TOKEN",
        ];
        Self {
            api,
            endpoint: known("https://tcr.tencentcloudapi.com/"),
            metadata: known("http://metadata.tencentyun.com/latest/meta-data/"),
            instance: cloud.instance.clone().unwrap_or_else(|| name.to_owned()),
            region: cloud.region.clone(),
            key: Key::configured(cloud).or_else(|| Key::in_variables(names.map(variable))),
        }
    }

    async fn ask(&self) -> Result<Grant, CredentialError> {
        let body = json!({"TokenType": "temp"});
        let token: Created = self.call_for("CreateInstanceToken", body).await?;
        token.grant()
    }

    /// A call about the instance.
    async fn call_for<T: DeserializeOwned>(
        &self,
        action: &'static str,
        mut body: Value,
    ) -> Result<T, CredentialError> {
        let machine;
        let key = if let Some(key) = &self.key {
            key
        } else {
            machine = self.machine().await?;
            &machine
        };
        let instance = self.instance(key).await?;
        body["RegistryId"] = json!(instance.id);
        self.call(key, &instance.region, action, &body).await
    }

    async fn instance(&self, key: &Key) -> Result<Instance, CredentialError> {
        let is_id = self.instance.starts_with("tcr-");
        if let (true, Some(region)) = (is_id, &self.region) {
            return Ok(Instance {
                id: self.instance.clone(),
                region: region.clone(),
            });
        }
        let body = match is_id {
            true => json!({"AllRegion": true, "Registryids": [self.instance]}),
            false => json!({
                "AllRegion": true,
                "Filters": [{"Name": "RegistryName", "Values": [self.instance]}],
            }),
        };
        let region = self.region.as_deref().unwrap_or(ANY_REGION);
        let found: Instances = self.call(key, region, "DescribeInstances", &body).await?;
        let found = found.registries.into_iter().next().ok_or_else(|| {
            let detail = format!(
                "there is no instance `{}` that the access key may see",
                self.instance
            );
            CredentialError::new("Tencent Cloud gives none", detail)
        })?;
        Ok(Instance {
            id: found.registry_id,
            region: found.region_name,
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        key: &Key,
        region: &str,
        action: &'static str,
        body: &Value,
    ) -> Result<T, CredentialError> {
        let body = body.to_string();
        let host = match self.endpoint.port() {
            Some(port) => format!("{}:{port}", self.endpoint.host_str().unwrap_or_default()),
            None => self.endpoint.host_str().unwrap_or_default().to_owned(),
        };
        let now = SystemTime::now();
        let authorization = authorization(key, SERVICE, &host, &body, now);
        let timestamp = seconds(now).to_string();
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("content-type", CONTENT_TYPE),
            ("x-tc-action", action),
            ("x-tc-timestamp", &timestamp),
            ("x-tc-version", VERSION),
            ("x-tc-region", region),
        ];
        headers.extend(key.session.as_deref().map(|token| ("x-tc-token", token)));
        let mut request = with_headers(Method::POST, self.endpoint.clone(), &headers);
        *request.body_mut() = Some(body.into());
        let reply = self.api.send(request).await?;
        // A refusal is an answer with status 200 too.
        let envelope: Envelope = reply.json()?;
        if let Some(problem) = envelope.response.get("Error") {
            let problem = Problem::deserialize(problem).unwrap_or_default();
            return Err(reply.said(&problem));
        }
        T::deserialize(envelope.response).map_err(|_| reply.unusable())
    }

    /// The key of the machine's role.
    async fn machine(&self) -> Result<Key, CredentialError> {
        let at = |path: &str| {
            let url = self.metadata.join(path);
            url.map_err(|error| {
                CredentialError::new("the machine's role has no key", error.to_string())
            })
        };
        let roles = "cam/security-credentials/";
        let role = self
            .api
            .get(at(roles)?, &[])
            .await?
            .text()?
            .trim()
            .to_owned();
        let key: RoleKey = self
            .api
            .get(at(&format!("{roles}{role}"))?, &[])
            .await?
            .json()?;
        Ok(Key {
            id: key.tmp_secret_id,
            secret: config::Secret::new(key.tmp_secret_key),
            session: Some(key.token),
        })
    }
}

impl Service for Tencent {
    fn terms(&self) -> Terms {
        TERMS
    }

    fn is_there<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, CredentialError>> {
        async move {
            // The filter finds parts of names, too.
            let body = json!({"NamespaceName": name, "Limit": 100});
            let found: Namespaces = self.call_for("DescribeNamespaces", body).await?;
            Ok(found.namespace_list.iter().any(|found| found.name == name))
        }
        .boxed()
    }

    fn make<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), CredentialError>> {
        async move {
            let body = json!({"NamespaceName": name, "IsPublic": false});
            let _: Value = self.call_for("CreateNamespace", body).await?;
            Ok(())
        }
        .boxed()
    }
}

impl Source for Tencent {
    fn fetch(&self) -> BoxFuture<'_, Result<Grant, CredentialError>> {
        self.ask().boxed()
    }
}

/// `Authorization` for a POST of `body` to the root of `host`, with the two headers that must be signed.
pub(super) fn authorization(
    key: &Key,
    service: &str,
    host: &str,
    body: &str,
    now: SystemTime,
) -> String {
    let date = humantime::format_rfc3339_seconds(now).to_string();
    let date = date.split('T').next().unwrap_or_default();
    let request = format!(
        "POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\n\ncontent-type;host\n{}",
        sha256_hex(body.as_bytes())
    );
    let scope = format!("{date}/{service}/tc3_request");
    let text = format!(
        "TC3-HMAC-SHA256\n{}\n{scope}\n{}",
        seconds(now),
        sha256_hex(request.as_bytes())
    );
    let first = format!("TC3{}", key.secret.expose()).into_bytes();
    let parts = [date, service, "tc3_request", &text];
    let signature = parts
        .iter()
        .fold(first, |secret, part| hmac_sha256(&secret, part.as_bytes()));
    format!(
        "TC3-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=content-type;host, Signature={}",
        key.id,
        hex::encode(signature)
    )
}

fn seconds(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    response: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instances {
    registries: Vec<Registry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Registry {
    registry_id: String,
    region_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Namespaces {
    #[serde(default)]
    namespace_list: Vec<Namespace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Namespace {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    /// A number in the documentation's example, a text by its table.
    username: Value,
    token: String,
    /// Milliseconds since 1970.
    #[serde(default)]
    exp_time: u64,
}

impl Created {
    fn grant(self) -> Result<Grant, CredentialError> {
        let username = match self.username {
            Value::String(name) => name,
            Value::Number(number) => number.to_string(),
            _ => {
                let detail = "its answer has no user name";
                return Err(CredentialError::new("Tencent Cloud gives none", detail));
            }
        };
        let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.exp_time));
        let left = end.and_then(|end| end.duration_since(SystemTime::now()).ok());
        Ok(Grant {
            login: Some(Login::password(&username, &self.token)),
            lifetime: left.unwrap_or(LIFETIME),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleKey {
    tmp_secret_id: String,
    tmp_secret_key: String,
    token: String,
}

#[cfg(test)]
impl Tencent {
    pub(super) fn at(mut self, endpoint: Url, metadata: Url) -> Self {
        self.endpoint = endpoint;
        self.metadata = metadata;
        self
    }
}
