//! A remote as an answer has it, and as a body says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::{
    ManagedBy, body::Body, problem::Problem, projects::duration, timestamp::Timestamp,
};
use crate::{
    config::{self, Credentials, Secret},
    replication::KnownRule,
    settings::{GivenSecrets, KnownRemote, SECRET_MEMBERS, Settings},
};

/// What an answer has and a change need not have.
const TOLD: [&str; 7] = [
    "managed_by",
    "used_by",
    "used_by_rules",
    "has_secret",
    "anonymous",
    "created_at",
    "changed_at",
];

/// A registry elsewhere. The members are those of `[[remote]]` in the configuration file; secrets are never told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Remote {
    #[schema(example = "edge-1")]
    pub name: String,
    #[schema(example = "harbor")]
    pub provider: String,
    /// Tried in order
    pub urls: Vec<String>,
    pub description: String,
    pub managed_by: ManagedBy,
    /// The projects that are filled from it
    pub used_by: Vec<String>,
    /// The rules that push to it or pull from it
    #[serde(default)]
    pub used_by_rules: Vec<String>,
    /// Projects whose admins may use it in rules
    pub projects: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A password, a token or an access key is set
    pub has_secret: bool,
    /// It is asked without any login of ours
    pub anonymous: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_helper: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What repositories that are made at Amazon ECR get: `MUTABLE` or `IMMUTABLE`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag_mutability: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan_on_push: Option<bool>,
    /// `AES256` or `KMS`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_type: Option<String>,
    /// Id, alias or ARN; with `KMS` only
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_expire_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_hours: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    pub verify_tls: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    pub connect_timeout: String,
    pub header_timeout: String,
    pub answer_timeout: String,
    pub idle_timeout: String,
    pub retry_for: String,
    pub realms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Such as `20MiB/s`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<String>,
    pub rate_reserve: u64,
    pub created_at: Option<Timestamp>,
    pub changed_at: Option<Timestamp>,
}

/// What a remote is to be. What is left out is as by default; a secret that is left out of a change stays, unless it would
/// be sent to another place then.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct RemoteFields {
    #[serde(default)]
    #[schema(
        example = "edge-1",
        pattern = "^[a-z0-9][a-z0-9._-]*$",
        max_length = 64
    )]
    pub name: String,
    /// One of `GET /providers`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_tls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// At Amazon ECR only, as the three below: what repositories that are made there get
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "IMMUTABLE", pattern = "^(MUTABLE|IMMUTABLE)$")]
    pub image_tag_mutability: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_on_push: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "KMS", pattern = "^(AES256|KMS)$")]
    pub encryption_type: Option<String>,
    /// Id, alias or ARN; with `KMS` only
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "alias/registry", max_length = 2048)]
    pub kms_key: Option<String>,
}

/// The members of a remote, and its secrets apart.
pub(in crate::api) fn split(mut body: Body) -> Result<(Map<String, Value>, GivenSecrets), Problem> {
    for told in TOLD {
        body.0.remove(told);
    }
    let mut secrets = BTreeMap::new();
    for key in SECRET_MEMBERS {
        let secret = match body.0.remove(key) {
            None => continue,
            Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(Secret::new(text)),
            Some(_) => return Err(Problem::bad_field(key, "expected a text")),
        };
        secrets.insert(key.to_owned(), secret);
    }
    check(&body.0)?;
    Ok((body.0, secrets))
}

/// The members that the configuration does not know.
fn check(members: &Map<String, Value>) -> Result<(), Problem> {
    let given = |key: &str| members.get(key).filter(|value| !value.is_null());
    if given("description").is_some_and(|text| !text.is_string()) {
        return Err(Problem::bad_field("description", "expected a text"));
    }
    let is_list = |value: &Value| {
        let list = value.as_array();
        list.is_some_and(|items| items.iter().all(Value::is_string))
    };
    if given("projects").is_some_and(|list| !is_list(list)) {
        return Err(Problem::bad_field("projects", "expected a list of texts"));
    }
    let is_time = |value: &Value| {
        let text = value.as_str().map(humantime::parse_rfc3339);
        matches!(text, Some(Ok(_)))
    };
    if given("credentials_expire_at").is_some_and(|time| !is_time(time)) {
        let message = "expected a time such as \"2027-01-31T00:00:00Z\"";
        return Err(Problem::bad_field("credentials_expire_at", message));
    }
    Ok(())
}

/// As a rule's name, and shorter.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let begins = name.bytes().next().is_some_and(allowed);
    let goes_on = |byte: u8| allowed(byte) || b"._-".contains(&byte);
    if begins && name.bytes().all(goes_on) && name.len() <= 64 {
        return Ok(());
    }
    Err(Problem::bad_field(
        "name",
        "expected at most 64 lower-case letters, digits, `.`, `_` and `-`, a letter or digit first",
    ))
}

pub(super) fn shown(settings: &Settings, known: &KnownRemote, rules: &[KnownRule]) -> Remote {
    let KnownRemote {
        remote, members, ..
    } = known;
    let text = |key: &str| Some(members.get(key)?.as_str()?.to_owned());
    let projects = members.get("projects").and_then(Value::as_array);
    let projects = projects.into_iter().flatten().filter_map(Value::as_str);
    let repositories = &remote.repositories;
    let username = match &remote.credentials {
        Credentials::Password { username, .. } => Some(username.clone()),
        Credentials::Cloud(cloud) => cloud.key.as_ref().map(|key| key.id.clone()),
        _ => None,
    };
    Remote {
        name: remote.name.clone(),
        provider: remote.provider.as_str().to_owned(),
        urls: remote.urls.iter().map(ToString::to_string).collect(),
        description: text("description").unwrap_or_default(),
        managed_by: known.managed_by.into(),
        used_by: settings.users_of_remote(&remote.name),
        used_by_rules: rules
            .iter()
            .filter(|known| known.rule.remotes.contains(&remote.name))
            .map(|known| known.rule.name.clone())
            .collect(),
        projects: projects.map(str::to_owned).collect(),
        username,
        has_secret: has_secret(&remote.credentials),
        anonymous: remote.is_anonymous(),
        credential_helper: text("credential_helper"),
        region: region(remote, text("region")),
        account: text("account"),
        instance: text("instance"),
        image_tag_mutability: repositories.tag_mutability.map(|it| it.as_str().to_owned()),
        scan_on_push: repositories.scan_on_push,
        encryption_type: repositories.encryption.map(|it| it.as_str().to_owned()),
        kms_key: repositories.kms_key.clone(),
        credentials_expire_at: text("credentials_expire_at"),
        allowed_hours: remote.allowed_hours.map(|hours| hours.to_string()),
        max_concurrent: remote.max_concurrent,
        verify_tls: remote.verify_tls,
        ca: remote.ca.as_ref().map(|path| path.display().to_string()),
        proxy: remote.proxy.as_ref().map(without_password),
        connect_timeout: duration(remote.connect_timeout),
        header_timeout: duration(remote.header_timeout),
        answer_timeout: duration(remote.answer_timeout),
        idle_timeout: duration(remote.idle_timeout),
        retry_for: duration(remote.retry_for),
        realms: remote.realms.clone(),
        max_connections: remote.max_connections,
        bandwidth: remote.bandwidth.map(|bytes| format!("{bytes}B/s")),
        rate_reserve: remote.rate_reserve,
        created_at: known.created_at.map(Into::into),
        changed_at: known.changed_at.map(Into::into),
    }
}

fn has_secret(credentials: &Credentials) -> bool {
    match credentials {
        Credentials::Password { .. } | Credentials::Token(_) => true,
        Credentials::Cloud(cloud) => cloud.key.is_some(),
        Credentials::None | Credentials::Helper(_) | Credentials::DockerConfig(_) => false,
    }
}

/// As given, else as the host says.
fn region(remote: &config::Remote, given: Option<String>) -> Option<String> {
    given.or_else(|| match &remote.credentials {
        Credentials::Cloud(cloud) => cloud.region_of(remote.provider, remote.urls.first()?),
        _ => None,
    })
}

fn without_password(url: &url::Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // A URL that had a password can be without one.
        let _ = url.set_password(None);
    }
    url.to_string()
}
