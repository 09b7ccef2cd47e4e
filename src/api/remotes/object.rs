//! A remote as an answer has it, and what is done with a body before the configuration reads it.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::{
    ManagedBy, body::Body, problem::Problem, projects::duration, timestamp::Timestamp,
};
use crate::{
    config::{self, Credentials, Secret},
    replication::KnownRule,
    settings::{self, GivenSecrets, KnownRemote, SECRET_MEMBERS, Settings},
};

/// What an answer has and a change need not have.
pub(super) const TOLD: [&str; 7] = [
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
    /// The name after `docker-credential-` of a program that tells the login
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_helper: Option<String>,
    /// True: the login is that of Docker's or podman's own files
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_config: Option<bool>,
    /// `environment`: the login is made of what the environment of the server, or its machine, has
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
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
    /// The file of our certificate
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<String>,
    /// The file of its key
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    /// Without its password, which stays when this is put
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
    let path = |path: &PathBuf| path.display().to_string();
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
        credential_helper: credential_helper(&remote.credentials),
        docker_config: matches!(remote.credentials, Credentials::DockerConfig(_)).then_some(true),
        credentials: environment(known),
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
        ca: remote.ca.as_ref().map(path),
        client_cert: remote.client_cert.as_ref().map(|(cert, _)| path(cert)),
        client_key: remote.client_cert.as_ref().map(|(_, key)| path(key)),
        proxy: remote.proxy_told().map(|proxy| proxy.to_string()),
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

/// The name by which the program was found.
fn credential_helper(credentials: &Credentials) -> Option<String> {
    let Credentials::Helper(program) = credentials else {
        return None;
    };
    let name = program.file_name()?.to_str()?;
    Some(name.strip_prefix("docker-credential-")?.to_owned())
}

/// `environment` where that was said. Some registries are asked that way without it, too: then it goes without saying, and
/// is not in the way of another login.
fn environment(known: &KnownRemote) -> Option<String> {
    const KEY: &str = "credentials";
    let is_said = known.managed_by != settings::ManagedBy::Api || known.members.contains_key(KEY);
    let is_used = match &known.remote.credentials {
        Credentials::Cloud(cloud) => cloud.key.is_none(),
        _ => false,
    };
    (is_said && is_used).then(|| "environment".to_owned())
}

/// As given, else as the host says.
fn region(remote: &config::Remote, given: Option<String>) -> Option<String> {
    given.or_else(|| match &remote.credentials {
        Credentials::Cloud(cloud) => cloud.region_of(remote.provider, remote.urls.first()?),
        _ => None,
    })
}
