//! The files in which `docker login` and `podman login` keep what they were told, re-read when they change.
//!
//! In each file, in this order: the helper of the host (`credHelpers`), the helper of all hosts (`credsStore`), the entries
//! themselves (`auths`), of which the one with the longest path that fits the repository is taken. The first file that has
//! something wins.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use url::Url;

use super::{CredentialError, Helper, Login, Renewal, helper_key, server};
use crate::config::{self, Provider, credentials::helper_program};

const MAX_FILE_BYTES: u64 = 1024 * 1024;
const DOCKER_HUB: [&str; 3] = ["index.docker.io", "docker.io", "registry-1.docker.io"];
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The files, and what was read of them.
pub(super) struct DockerConfig {
    remote: String,
    provider: Provider,
    programs: Vec<PathBuf>,
    files: tokio::sync::Mutex<Vec<File>>,
}

struct File {
    path: PathBuf,
    version: Option<Version>,
    content: Arc<Content>,
}

/// Changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    size_bytes: u64,
}

/// One file, read.
#[derive(Default)]
struct Content {
    /// By host, or host and path.
    logins: HashMap<String, Arc<Login>>,
    /// Names of helpers by host.
    helpers: HashMap<String, String>,
    store: Option<String>,
    /// Those that were asked, by name and server.
    asked: Mutex<HashMap<(String, String), Arc<Renewal>>>,
}

impl DockerConfig {
    pub(super) fn new(remote: &str, provider: Provider, config: &config::DockerConfig) -> Self {
        let files = config.files.iter().map(|path| File {
            path: path.clone(),
            version: None,
            content: Arc::default(),
        });
        Self {
            remote: remote.to_owned(),
            provider,
            programs: config.programs.clone(),
            files: tokio::sync::Mutex::new(files.collect()),
        }
    }

    pub(super) async fn get(
        &self,
        url: &Url,
        repository: &str,
    ) -> Result<Option<Arc<Login>>, CredentialError> {
        for content in self.read().await? {
            for (name, server) in self.helpers(&content, url) {
                let renewal = self.helper(&content, name, server)?;
                if let Some(login) = renewal.get().await? {
                    return Ok(Some(login));
                }
            }
            if let Some(login) = content.login(&self.hosts(url), repository) {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    pub(super) async fn renewed(
        &self,
        url: &Url,
        repository: &str,
        refused: &Arc<Login>,
    ) -> Result<Option<Arc<Login>>, CredentialError> {
        for content in self.read().await? {
            for (name, server) in self.helpers(&content, url) {
                let renewal = self.helper(&content, name, server)?;
                if renewal.gave(refused) {
                    return renewal.renewed(refused).await;
                }
            }
        }
        self.get(url, repository).await
    }

    /// The helpers to ask for a URL, with the name that they know the server by.
    fn helpers<'c>(&self, content: &'c Content, url: &Url) -> Vec<(&'c String, String)> {
        let server = helper_key(self.provider, url);
        let own = self
            .hosts(url)
            .iter()
            .find_map(|host| content.helpers.get(host));
        let names = own.into_iter().chain(&content.store);
        names.map(|name| (name, server.clone())).collect()
    }

    fn helper(
        &self,
        content: &Content,
        name: &str,
        server: String,
    ) -> Result<Arc<Renewal>, CredentialError> {
        let mut asked = content.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), server.clone());
        if let Some(renewal) = asked.get(&key) {
            return Ok(Arc::clone(renewal));
        }
        let Some(program) = helper_program(name, &self.programs) else {
            let what = format!("`docker-credential-{name}` gives none");
            let error = CredentialError::new(what, "there is no such program in PATH");
            return Err(error.refused());
        };
        let source = Helper::optional(program, server);
        let renewal = Arc::new(Renewal::new(&self.remote, Box::new(source)));
        asked.insert(key, Arc::clone(&renewal));
        Ok(renewal)
    }

    /// The names of a URL's host in the files.
    fn hosts(&self, url: &Url) -> Vec<String> {
        let server = server(url);
        if self.provider == Provider::DockerHub || DOCKER_HUB.contains(&server.as_str()) {
            return DOCKER_HUB.map(str::to_owned).to_vec();
        }
        vec![server]
    }

    /// All files as they are now.
    async fn read(&self) -> Result<Vec<Arc<Content>>, CredentialError> {
        let mut files = self.files.lock().await;
        for file in files.iter_mut() {
            file.refresh().await?;
        }
        Ok(files.iter().map(|file| Arc::clone(&file.content)).collect())
    }
}

impl File {
    async fn refresh(&mut self) -> Result<(), CredentialError> {
        let version = tokio::fs::metadata(&self.path)
            .await
            .ok()
            .map(|metadata| Version {
                modified: metadata.modified().ok(),
                size_bytes: metadata.len(),
            });
        if version == self.version {
            return Ok(());
        }
        self.content = match &version {
            Some(_) => Arc::new(self.load().await?),
            None => Arc::default(),
        };
        self.version = version;
        Ok(())
    }

    async fn load(&self) -> Result<Content, CredentialError> {
        let failed = |detail: String| {
            let detail = format!("`{}`: {detail}", self.path.display());
            CredentialError::new("the logins of docker or podman cannot be read", detail).refused()
        };
        let mut bytes = Vec::new();
        let file = tokio::fs::File::open(&self.path).await;
        let file = file.map_err(|error| failed(error.to_string()))?;
        let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).await;
        read.map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(failed("it has more than 1 MiB".to_owned()));
        }
        // The parser's own words could hold a piece of a secret.
        let raw: RawFile = serde_json::from_slice(&bytes).map_err(|error| {
            failed(format!(
                "not as expected in line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        Ok(raw.into())
    }
}

impl Content {
    /// The entry of the longest path: `host/a/b`, `host/a`, `host`.
    fn login(&self, hosts: &[String], repository: &str) -> Option<Arc<Login>> {
        let mut path = repository;
        loop {
            for host in hosts {
                let key = match path {
                    "" => host.clone(),
                    path => format!("{host}/{path}"),
                };
                if let Some(login) = self.logins.get(&key) {
                    return Some(Arc::clone(login));
                }
            }
            if path.is_empty() {
                return None;
            }
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFile {
    #[serde(default)]
    auths: HashMap<String, RawEntry>,
    #[serde(default)]
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl From<RawFile> for Content {
    fn from(raw: RawFile) -> Self {
        let logins = raw.auths.into_iter();
        let logins =
            logins.filter_map(|(key, entry)| Some((normal(&key), Arc::new(entry.login()?))));
        let helpers = raw.cred_helpers.into_iter();
        Self {
            logins: logins.collect(),
            helpers: helpers.map(|(key, name)| (normal(&key), name)).collect(),
            store: raw.creds_store.filter(|name| !name.is_empty()),
            asked: Mutex::default(),
        }
    }
}

impl RawEntry {
    fn login(self) -> Option<Login> {
        if !self.identitytoken.is_empty() {
            return Some(Login::token(&self.identitytoken));
        }
        if self.auth.is_empty() {
            let set = !self.username.is_empty() && !self.password.is_empty();
            return set.then(|| Login::password(&self.username, &self.password));
        }
        let decoded = String::from_utf8(BASE64.decode(self.auth.trim()).ok()?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        Some(Login::password(username, password.trim_end_matches('\0')))
    }
}

/// `https://host/v1/` and the like are older ways to say `host`; without a scheme, a path is a repository's.
fn normal(key: &str) -> String {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    match bare {
        Some(bare) => bare.split('/').next().unwrap_or(bare).to_owned(),
        None => key.trim_end_matches('/').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(content: &Content, hosts: &[&str], repository: &str) -> Option<String> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let login = content.login(&hosts, repository)?;
        let Login::Password(value) = login.as_ref() else {
            return Some("token".to_owned());
        };
        let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        Some(String::from_utf8(BASE64.decode(encoded).unwrap()).unwrap())
    }

    fn content(json: &str) -> Content {
        serde_json::from_str::<RawFile>(json).unwrap().into()
    }

    #[test]
    fn entries_are_found_by_host_and_longest_path() {
        let content = content(
            r#"{"auths": {
                "quay.io": {"auth": "dTpob3N0"},
                "quay.io/team": {"auth": "dTp0ZWFt"},
                "quay.io/team/app": {"username": "u", "password": "app"},
                "https://index.docker.io/v1/": {"auth": "dTpodWI"},
                "http://plain.example:5000/v2/": {"auth": "dTpwbGFpbgA="},
                "reg.azurecr.io": {"auth": "MDowMA==", "identitytoken": "t"},
                "empty.example": {},
                "broken.example": {"auth": "%"}
            }}"#,
        );
        let quay = |repository| password(&content, &["quay.io"], repository).unwrap();
        assert_eq!(quay("other/app"), "u:host");
        assert_eq!(quay("team/other"), "u:team");
        assert_eq!(quay("team/app/part"), "u:app");
        assert_eq!(quay("teams/app"), "u:host");
        let of = |host: &str| password(&content, &[host], "a/b");
        assert_eq!(
            password(&content, &DOCKER_HUB, "library/nginx").unwrap(),
            "u:hub"
        );
        assert_eq!(of("plain.example:5000").unwrap(), "u:plain");
        assert_eq!(of("reg.azurecr.io").unwrap(), "token");
        assert_eq!(of("empty.example"), None);
        assert_eq!(of("broken.example"), None);
        assert_eq!(of("plain.example"), None);
    }
}
