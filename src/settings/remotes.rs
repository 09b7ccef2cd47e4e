//! Remotes: made, changed and taken away by the API. Their secrets are sealed in their rows, never given back, and kept
//! only for as long as they would go to where they were meant to go.

use std::{collections::BTreeMap, time::SystemTime};

use bytes::Bytes;
use serde_json::{Map, Value};
use tracing::error;
use url::Url;

use super::{Inner, ManagedBy, Settings, SettingsError, Stored, members, newly_refused};
use crate::{
    client::RegistryClient,
    config::{ProjectKind, Registries, Remote, Row, Secret},
    meta::{RemoteRow, RemoteWrite},
};

/// The members that are secret.
pub const SECRET_MEMBERS: [&str; 2] = ["password", "token"];
/// Members of the API's object that the configuration does not know.
const API_MEMBERS: [&str; 3] = ["description", "projects", "credentials_expire_at"];
const USERNAME: &str = "username";
const PROXY: &str = "proxy";

/// The secret members of a call, where they are given; `None` takes one away.
pub type GivenSecrets = BTreeMap<String, Option<Secret>>;

/// A remote, and where it was declared.
#[derive(Debug, Clone)]
pub struct KnownRemote {
    pub remote: Remote,
    pub managed_by: ManagedBy,
    /// As they were given; empty when it is no row.
    pub members: Map<String, Value>,
    pub created_at: Option<SystemTime>,
    pub changed_at: Option<SystemTime>,
}

/// The secrets of a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials {
    secrets: BTreeMap<String, Secret>,
    /// There were some once: what was mirrored with them stays closed.
    were_there: bool,
}

/// A remote that is to be written.
struct Candidate {
    members: Map<String, Value>,
    credentials: Credentials,
    remote: Remote,
}

impl Credentials {
    fn of(secrets: BTreeMap<String, Secret>) -> Self {
        let were_there = !secrets.is_empty();
        Self {
            secrets,
            were_there,
        }
    }

    /// What they are after a call, and whether any of them stayed.
    fn changed_by(mut self, given: GivenSecrets) -> (Self, bool) {
        if given.values().any(Option::is_some) {
            let given = given.into_iter();
            let new = given.filter_map(|(key, secret)| Some((key, secret?)));
            return (Self::of(new.collect()), false);
        }
        self.secrets.retain(|key, _| !given.contains_key(key));
        let are_kept = !self.secrets.is_empty();
        self.were_there = are_kept || self.were_there && given.is_empty();
        (self, are_kept)
    }
}

impl Settings {
    /// All remotes that can be used, by name.
    pub async fn remotes(&self) -> Result<Vec<KnownRemote>, SettingsError> {
        let inner = &self.inner;
        let rows = inner.parts.meta.remotes().await?;
        let known = inner.parts.remotes.all().into_iter().map(|client| {
            let remote = client.remote().clone();
            let row = rows.iter().find(|row| row.name == remote.name);
            let managed_by = inner.remote_managed_by(&remote.name, row.is_some());
            let row = row.filter(|_| managed_by == ManagedBy::Api);
            KnownRemote {
                remote,
                managed_by,
                members: row.map(|row| members(&row.members)).unwrap_or_default(),
                created_at: row.map(|row| row.created_at),
                changed_at: row.map(|row| row.changed_at),
            }
        });
        Ok(known.collect())
    }

    /// Names of the projects that are filled from this remote.
    pub fn users_of_remote(&self, name: &str) -> Vec<String> {
        let projects = self.inner.parts.projects.now();
        let users = projects
            .iter()
            .filter(|project| is_bound_to(&project.kind, name));
        users.map(|project| project.name.clone()).collect()
    }

    /// Makes a remote. `members` are those of the API's object, without its name and secrets.
    pub async fn remote_create(
        &self,
        name: &str,
        members: Map<String, Value>,
        secrets: GivenSecrets,
    ) -> Result<(), SettingsError> {
        let inner = &self.inner;
        let mut revision = inner.turn.lock().await;
        let stored = inner.stored().await?;
        let has_row = stored.remotes.iter().any(|row| row.name == name);
        match inner.remote_managed_by(name, has_row) {
            ManagedBy::Configuration => return Err(declared(name)),
            ManagedBy::Api if !has_row => {}
            ManagedBy::BuiltIn | ManagedBy::Api => return Err(already_there(name)),
        }
        let secrets = secrets
            .into_iter()
            .filter_map(|(key, secret)| Some((key, secret?)));
        let credentials = Credentials::of(secrets.collect());
        if credentials.secrets.is_empty() {
            check_username(&members)?;
        }
        let candidate = inner.candidate(name, members, credentials, &stored)?;
        let write = inner.sealed(name, candidate);
        if !inner.parts.meta.remote_insert(write).await? {
            return Err(already_there(name));
        }
        *revision = inner.load().await?;
        Ok(())
    }

    /// Changes a remote to what `members` say; what they leave out is as by default. Secrets that are left out stay,
    /// unless they would go to somewhere else now: then they are taken away.
    pub async fn remote_replace(
        &self,
        name: &str,
        members: Map<String, Value>,
        secrets: GivenSecrets,
    ) -> Result<(), SettingsError> {
        let inner = &self.inner;
        let mut revision = inner.turn.lock().await;
        let stored = inner.stored().await?;
        let row = stored.remotes.iter().find(|row| row.name == name);
        match inner.remote_managed_by(name, row.is_some()) {
            ManagedBy::Configuration => return Err(declared(name)),
            ManagedBy::Api if row.is_none() => return Err(not_there(name)),
            ManagedBy::BuiltIn | ManagedBy::Api => {}
        }
        let kept = row.map(|row| inner.credentials(row)).unwrap_or_default();
        let (credentials, are_kept) = kept.changed_by(secrets);
        let before = inner.parts.remotes.get(name);
        let before = before.as_ref().map(RegistryClient::remote);
        let members = match before {
            Some(before) => proxy_kept(members, before),
            None => members,
        };
        let mut candidate = inner.candidate(name, members.clone(), credentials, &stored)?;
        let goes_elsewhere = before.is_none_or(|before| !same_place(before, &candidate.remote));
        if are_kept && goes_elsewhere {
            let cleared = Credentials {
                secrets: BTreeMap::new(),
                were_there: true,
            };
            candidate = inner.candidate(name, members, cleared, &stored)?;
        }
        inner
            .parts
            .meta
            .remote_put(inner.sealed(name, candidate))
            .await?;
        *revision = inner.load().await?;
        Ok(())
    }

    /// Takes a remote away that nothing uses.
    pub async fn remote_delete(&self, name: &str) -> Result<(), SettingsError> {
        let inner = &self.inner;
        let mut revision = inner.turn.lock().await;
        let stored = inner.stored().await?;
        let has_row = stored.remotes.iter().any(|row| row.name == name);
        match inner.remote_managed_by(name, has_row) {
            ManagedBy::Configuration => return Err(declared(name)),
            ManagedBy::BuiltIn => {
                let message = format!(
                    "remote `{name}` is built in; `builtin = false` in the configuration file drops all of these"
                );
                return Err(SettingsError::Conflict(message));
            }
            ManagedBy::Api if !has_row => return Err(not_there(name)),
            ManagedBy::Api => {}
        }
        let users = self.users_of_remote(name);
        if !users.is_empty() && !inner.parts.declared.has_builtin(name) {
            let message = format!(
                "remote `{name}` is used by the projects {}",
                users.join(", ")
            );
            return Err(SettingsError::Conflict(message));
        }
        inner.parts.meta.remote_delete(name).await?;
        *revision = inner.load().await?;
        Ok(())
    }

    /// A client of a remote that is not written down: for a try.
    pub async fn remote_tried(
        &self,
        members: Map<String, Value>,
        secrets: BTreeMap<String, Secret>,
    ) -> Result<RegistryClient, SettingsError> {
        let inner = &self.inner;
        let stored = inner.stored().await?;
        let mut name = "tried".to_owned();
        while inner.parts.remotes.get(&name).is_some() {
            name.push('-');
        }
        let candidate = inner.candidate(&name, members, Credentials::of(secrets), &stored)?;
        RegistryClient::new(candidate.remote, inner.parts.metrics.clone())
            .map_err(|error| SettingsError::invalid("ca", error.message))
    }
}

impl Inner {
    fn remote_managed_by(&self, name: &str, has_row: bool) -> ManagedBy {
        let declared = &self.parts.declared;
        if declared.has_remote(name) {
            ManagedBy::Configuration
        } else if !has_row && declared.has_builtin(name) {
            ManagedBy::BuiltIn
        } else {
            ManagedBy::Api
        }
    }

    /// Would everything be right with this remote among the others?
    fn candidate(
        &self,
        name: &str,
        members: Map<String, Value>,
        credentials: Credentials,
        stored: &Stored,
    ) -> Result<Candidate, SettingsError> {
        let before = self.registries(stored)?;
        let mut rows = self.rows(stored);
        rows.remotes.retain(|row| row.name() != name);
        rows.remotes.push(row(name, &members, credentials.clone()));
        let after = self.parts.declared.with(&rows)?;
        if let Some(refused) = after.refused.iter().find(|refused| refused.name == name) {
            return Err(SettingsError::refused(&refused.error));
        }
        let harmed = newly_refused(&before, &after);
        if !harmed.is_empty() {
            let message = format!("this is in the way of {}", harmed.join(", "));
            return Err(SettingsError::Conflict(message));
        }
        let remote = named(after, name).ok_or_else(|| not_there(name))?;
        RegistryClient::new(remote.clone(), self.parts.metrics.clone())
            .map_err(|error| SettingsError::invalid("ca", error.message))?;
        Ok(Candidate {
            members,
            credentials,
            remote,
        })
    }

    fn sealed(&self, name: &str, candidate: Candidate) -> RemoteWrite {
        let Credentials {
            secrets,
            were_there,
        } = candidate.credentials;
        let secrets: Map<String, Value> = secrets
            .iter()
            .map(|(key, secret)| (key.clone(), Value::from(secret.expose())))
            .collect();
        let sealed = were_there.then(|| {
            let text = Value::Object(secrets).to_string();
            Bytes::from(self.parts.key.seal(&purpose(name), text.as_bytes()))
        });
        RemoteWrite {
            name: name.to_owned(),
            members: Value::Object(candidate.members).to_string(),
            secrets: sealed,
        }
    }

    /// The secrets of a row; none if they were sealed by another key.
    pub(super) fn credentials(&self, row: &RemoteRow) -> Credentials {
        let Some(sealed) = &row.secrets else {
            return Credentials::default();
        };
        let plain = self.parts.key.unseal(&purpose(&row.name), sealed);
        let members: Option<BTreeMap<String, String>> =
            plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        if members.is_none() {
            let name = &row.name;
            error!(
                remote = name,
                "the secret of remote `{name}` was sealed by another key than `secrets.key` is now: set it again"
            );
        }
        let members = members.unwrap_or_default().into_iter();
        Credentials {
            secrets: members
                .map(|(key, text)| (key, Secret::new(text)))
                .collect(),
            were_there: true,
        }
    }
}

/// A row as the configuration reads it. A user name whose secret was taken away says nothing to the remote, but the
/// mirrors of the remote stay closed.
pub(super) fn row(name: &str, members: &Map<String, Value>, credentials: Credentials) -> Row {
    let mut members = members.clone();
    members.retain(|key, _| !API_MEMBERS.contains(&key.as_str()));
    if credentials.secrets.is_empty() {
        members.remove(USERNAME);
    }
    Row::new(name, &members, credentials.secrets).closed(credentials.were_there)
}

/// The password of a proxy is not told: a proxy that is given as it was told is the one that there is.
fn proxy_kept(mut members: Map<String, Value>, before: &Remote) -> Map<String, Value> {
    let given = members.get(PROXY).and_then(Value::as_str);
    let given = given.and_then(|text| Url::parse(text.trim()).ok());
    if given.is_some() && given == before.proxy_told() {
        let proxy = before.proxy.as_ref().map(ToString::to_string);
        members.insert(PROXY.to_owned(), Value::from(proxy));
    }
    members
}

fn check_username(members: &Map<String, Value>) -> Result<(), SettingsError> {
    if members.get(USERNAME).is_none_or(Value::is_null) {
        return Ok(());
    }
    let message = "set without `password` or `token`; it goes with one of them";
    Err(SettingsError::invalid(USERNAME, message))
}

fn purpose(name: &str) -> String {
    format!("remote {name}")
}

fn named(registries: Registries, name: &str) -> Option<Remote> {
    registries
        .remotes
        .into_iter()
        .find(|remote| remote.name == name)
}

/// Would a secret go to the same servers?
fn same_place(one: &Remote, other: &Remote) -> bool {
    one.provider == other.provider
        && one.urls == other.urls
        && one.proxy == other.proxy
        && one.realms == other.realms
}

/// Is this project bound to the remote of this name?
fn is_bound_to(kind: &ProjectKind, name: &str) -> bool {
    matches!(kind, ProjectKind::Mirror { remote } if remote == name)
}

fn declared(name: &str) -> SettingsError {
    SettingsError::Conflict(format!(
        "remote `{name}` is managed by the configuration file; change it there"
    ))
}

fn already_there(name: &str) -> SettingsError {
    SettingsError::Conflict(format!("there is a remote `{name}` already"))
}

fn not_there(name: &str) -> SettingsError {
    SettingsError::NotFound(format!("there is no remote `{name}`"))
}
