//! `/remotes`: registries elsewhere. Their secrets go in and never come out.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    response::Response,
};
use http::{StatusCode, request};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, ManagedBy,
    body::Body,
    page::{Items, Limit, Page, next_page},
    problem::Problem,
    projects::{created, duration},
    query::Fields,
    timestamp::Timestamp,
};
use crate::{
    config::{self, Credentials, Secret},
    replication::Mode,
    settings::{GivenSecrets, KnownRemote, SECRET_MEMBERS, Settings},
};

/// What an answer has and a change need not have.
const TOLD: [&str; 6] = [
    "managed_by",
    "used_by",
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
}

/// Which page of which list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RemotesQuery {
    /// Whose name has this in it
    #[param(value_type = Option<String>)]
    q: Option<String>,
    /// `mirror`: a project is filled from it; `destination`: a rule pushes to it
    #[param(value_type = Option<String>)]
    used_as: Option<UsedAs>,
    /// In this region
    #[param(value_type = Option<String>)]
    region: Option<String>,
    /// At most so many: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<String>)]
    after: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum UsedAs {
    Mirror,
    Destination,
}

#[utoipa::path(
    get, path = "/remotes", tag = "remotes", operation_id = "listRemotes", params(RemotesQuery),
    responses(
        (status = 200, description = "All remotes, by name", body = Items<Remote>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    query: RemotesQuery,
) -> Result<Page<Remote>, Problem> {
    let settings = &api.parts.settings;
    let known = settings.remotes().await?;
    let mut remotes: Vec<Remote> = known
        .into_iter()
        .map(|known| shown(settings, &known))
        .collect();
    let rules = api.parts.replication.rules().await?.into_iter();
    let pushes = rules.filter(|known| known.rule.mode == Mode::Push);
    let destinations: HashSet<String> = pushes.flat_map(|known| known.rule.remotes).collect();
    let wanted = query.q.as_deref().unwrap_or_default().to_lowercase();
    remotes.retain(|remote| remote.name.to_lowercase().contains(&wanted));
    remotes.retain(|remote| match query.used_as {
        None => true,
        Some(UsedAs::Mirror) => !remote.used_by.is_empty(),
        Some(UsedAs::Destination) => destinations.contains(&remote.name),
    });
    if let Some(region) = &query.region {
        remotes.retain(|remote| remote.region.as_ref() == Some(region));
    }
    let total = remotes.len() as u64;
    if let Some(after) = &query.after {
        remotes.retain(|remote| remote.name > *after);
    }
    let limit = query.limit;
    let is_last = remotes.len() <= limit.get() as usize;
    remotes.truncate(limit.get() as usize);
    let next = remotes.last().filter(|_| !is_last).map(|last| {
        let parameters = [
            ("q", query.q.as_deref()),
            ("used_as", query.used_as.map(UsedAs::as_str)),
            ("region", query.region.as_deref()),
            ("after", Some(last.name.as_str())),
        ];
        next_page("/remotes", limit, &parameters)
    });
    Ok(Page {
        items: remotes,
        total,
        next,
    })
}

#[utoipa::path(
    get, path = "/remotes/{name}", tag = "remotes", operation_id = "getRemote",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "The remote", body = Remote),
        (status = 404, description = "There is none of this name"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Remote>, Problem> {
    let remote = find(&api.parts.settings, &name).await?;
    remote.map(Json).ok_or_else(|| missing(&name))
}

#[utoipa::path(
    post, path = "/remotes", tag = "remotes", operation_id = "createRemote",
    request_body = RemoteFields,
    responses(
        (status = 201, description = "The remote is there", body = Remote,
            headers(("Location" = String, description = "Its path"))),
        (status = 409, description = "There is one of this name already"),
    )
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    mut body: Body,
) -> Result<Response, Problem> {
    let name: String = body.required("name")?;
    check_name(&name)?;
    let (members, secrets) = split(body)?;
    let settings = &api.parts.settings;
    settings.remote_create(&name, members, secrets).await?;
    let remote = find(settings, &name).await?.ok_or_else(Problem::internal)?;
    Ok(created("/remotes", &name, remote))
}

#[utoipa::path(
    put, path = "/remotes/{name}", tag = "remotes", operation_id = "replaceRemote",
    params(("name" = String, Path)), request_body = RemoteFields,
    responses(
        (status = 200, description = "The remote is as it says", body = Remote),
        (status = 404, description = "There is none of this name"),
        (status = 409, description = "It is managed by the configuration file"),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Json<Remote>, Problem> {
    if body
        .optional::<String>("name")?
        .is_some_and(|other| other != name)
    {
        return Err(Problem::bad_field("name", "a remote keeps its name"));
    }
    let (members, secrets) = split(body)?;
    let settings = &api.parts.settings;
    settings.remote_replace(&name, members, secrets).await?;
    let remote = find(settings, &name).await?.ok_or_else(Problem::internal)?;
    Ok(Json(remote))
}

#[utoipa::path(
    delete, path = "/remotes/{name}", tag = "remotes", operation_id = "deleteRemote",
    params(("name" = String, Path)),
    responses(
        (status = 204, description = "It is gone. A built-in one that it replaced is back"),
        (status = 404, description = "There was none of this name"),
        (status = 409, description = "It is managed by the configuration file, built in, or used by the projects that are named"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let rules = api.parts.replication.users_of_remote(&name).await?;
    if !rules.is_empty() {
        let rules = rules.join(", ");
        return Err(Problem::conflict(format!(
            "remote `{name}` is used by the rules {rules}"
        )));
    }
    api.parts.settings.remote_delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The members of a remote, and its secrets apart.
pub(super) fn split(mut body: Body) -> Result<(Map<String, Value>, GivenSecrets), Problem> {
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
    let is_count = |value: &Value| {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.is_some_and(|number| number > 0)
    };
    if given("max_concurrent").is_some_and(|number| !is_count(number)) {
        return Err(Problem::bad_field(
            "max_concurrent",
            "expected a whole number from 1",
        ));
    }
    Ok(())
}

/// As a rule's name, and shorter.
fn check_name(name: &str) -> Result<(), Problem> {
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

async fn find(settings: &Settings, name: &str) -> Result<Option<Remote>, Problem> {
    let known = settings.remotes().await?;
    let found = known.into_iter().find(|known| known.remote.name == name);
    Ok(found.map(|known| shown(settings, &known)))
}

pub(super) fn missing(name: &str) -> Problem {
    Problem::not_found(format!("there is no remote `{name}`"))
}

fn shown(settings: &Settings, known: &KnownRemote) -> Remote {
    let KnownRemote {
        remote, members, ..
    } = known;
    let text = |key: &str| Some(members.get(key)?.as_str()?.to_owned());
    let projects = members.get("projects").and_then(Value::as_array);
    let projects = projects.into_iter().flatten().filter_map(Value::as_str);
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
        projects: projects.map(str::to_owned).collect(),
        username,
        has_secret: has_secret(&remote.credentials),
        anonymous: remote.is_anonymous(),
        credential_helper: text("credential_helper"),
        region: region(remote, text("region")),
        account: text("account"),
        instance: text("instance"),
        credentials_expire_at: text("credentials_expire_at"),
        allowed_hours: text("allowed_hours"),
        max_concurrent: members
            .get("max_concurrent")
            .and_then(Value::as_u64)
            .and_then(|number| u32::try_from(number).ok()),
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

impl UsedAs {
    fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Destination => "destination",
        }
    }
}

impl std::str::FromStr for UsedAs {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        [Self::Mirror, Self::Destination]
            .into_iter()
            .find(|used_as| used_as.as_str() == text)
            .ok_or("expected \"mirror\" or \"destination\"")
    }
}

impl<S: Sync> FromRequestParts<S> for RemotesQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            q: fields.optional("q"),
            used_as: fields.optional("used_as"),
            region: fields.optional("region"),
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
    }
}
