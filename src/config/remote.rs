//! `[[remote]]`: a registry elsewhere.

use std::{path::PathBuf, time::Duration};

use url::Url;

use super::{
    ConfigError, Credentials, Hours, RepositoryOptions,
    builtin::{self, BuiltIn},
    cloud::Place,
    credentials,
    declared::{Refused, Row},
    error::Problem,
    section::Section,
    tree::Node,
    value::{
        self, Read, bandwidth, boolean, choice, count, host, proxy_url, remote_url, text, timeout,
    },
};

/// What kind of registry a remote is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Any registry that follows the specification.
    DockerRegistry,
    /// Completes names of one component with `library/`.
    DockerHub,
    Entrepot,
    Harbor,
    Ecr,
    Google,
    Azure,
    Ghcr,
    Quay,
    Gitlab,
    Aliyun,
    Tencent,
}

/// A registry elsewhere, with all that is needed to talk to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Remote {
    pub name: String,
    pub provider: Provider,
    /// Tried in order; at least one; `http` or `https`; the path ends with `/`.
    pub urls: Vec<Url>,
    pub credentials: Credentials,
    /// False: certificates that nobody signed are accepted.
    pub verify_tls: bool,
    /// Further trusted certificates, PEM.
    pub ca: Option<PathBuf>,
    /// (certificate, key), both PEM.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    pub proxy: Option<Url>,
    pub connect_timeout: Duration,
    pub header_timeout: Duration,
    /// How long a client waits for it that can be given something cached. What is answered later is kept for the next one.
    pub answer_timeout: Duration,
    /// No byte of a body for so long means broken.
    pub idle_timeout: Duration,
    /// A fill without progress over all URLs is given up after this.
    pub retry_for: Duration,
    /// Further hosts whose token realm is trusted.
    pub realms: Vec<String>,
    pub max_connections: Option<u32>,
    /// Bytes per second.
    pub bandwidth: Option<u64>,
    /// Pulls of the remote's rate budget that background work leaves alone.
    pub rate_reserve: u64,
    /// Tasks of rules at once.
    pub max_concurrent: Option<u32>,
    /// When background work may use the remote; `None`: at any time.
    pub allowed_hours: Option<Hours>,
    /// How repositories are made there; at Amazon ECR only.
    pub repositories: RepositoryOptions,
}

impl Provider {
    /// All of them, by the words of the configuration.
    pub fn all() -> impl Iterator<Item = (&'static str, Self)> {
        PROVIDERS.iter().copied()
    }

    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        let found = PROVIDERS.iter().find(|(_, provider)| *provider == self);
        found.expect("each provider has its word").0
    }
}

impl Remote {
    /// True when requests carry no credentials of ours.
    pub fn is_anonymous(&self) -> bool {
        matches!(self.credentials, Credentials::None)
    }

    /// The proxy as it can be told: its password is a secret.
    pub fn proxy_told(&self) -> Option<Url> {
        let mut proxy = self.proxy.clone()?;
        if proxy.password().is_some() {
            // A URL that had a password can be without one.
            let _ = proxy.set_password(None);
        }
        Some(proxy)
    }
}

const PROVIDERS: &[(&str, Provider)] = &[
    ("docker-registry", Provider::DockerRegistry),
    ("docker-hub", Provider::DockerHub),
    ("entrepot", Provider::Entrepot),
    ("harbor", Provider::Harbor),
    ("ecr", Provider::Ecr),
    ("google", Provider::Google),
    ("azure", Provider::Azure),
    ("ghcr", Provider::Ghcr),
    ("quay", Provider::Quay),
    ("gitlab", Provider::Gitlab),
    ("aliyun", Provider::Aliyun),
    ("tencent", Provider::Tencent),
];

/// All remotes, and which of them are given credentials of any kind.
pub(super) struct Remotes {
    pub(super) list: Vec<Remote>,
    with_credentials: Vec<String>,
}

impl Remotes {
    /// Those of the file, then those of rows that can be used, then the built-in ones that none of them replaces.
    pub(super) fn read(
        root: &mut Section<'_>,
        rows: &[Row],
        with_builtin: bool,
        refused: &mut Vec<Refused>,
    ) -> Result<Self, ConfigError> {
        let mut remotes = Self {
            list: Vec::new(),
            with_credentials: Vec::new(),
        };
        for section in root.tables("remote")? {
            remotes.read_one(section)?;
        }
        for row in rows {
            match remotes.read_one(root.of_row(row.table())) {
                Ok(()) if row.is_closed() => remotes.with_credentials.push(row.name().to_owned()),
                Ok(()) => {}
                Err(error) => refused.push(row.refused(error)),
            }
        }
        if with_builtin {
            let missing = builtin::REGISTRIES
                .iter()
                .filter(|registry| remotes.named(registry.name).is_none());
            let missing: Vec<Remote> = missing.map(Remote::built_in).collect();
            remotes.list.extend(missing);
        }
        Ok(remotes)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Remote> {
        self.list.iter().find(|remote| remote.name == name)
    }

    /// True when nobody's rights are lent to those who pull through a mirror of this remote.
    pub(super) fn is_anonymous(&self, name: &str) -> bool {
        !self.with_credentials.iter().any(|other| other == name)
    }

    fn read_one(&mut self, mut section: Section<'_>) -> Result<(), ConfigError> {
        let missing =
            |section: &Section<'_>, key, text: &str| section.error(key, Problem::new(text));
        let name = section
            .take("name", remote_name)?
            .ok_or_else(|| missing(&section, "name", "missing; every remote has a name"))?;
        if self.named(&name).is_some() {
            return Err(section.error(
                "name",
                Problem::new(format!("another remote is called `{name}` already")),
            ));
        }
        let registry = builtin::named(&name);
        let provider = section.take("provider", choice(PROVIDERS))?;
        let provider = provider.or(registry.map(|registry| registry.provider));
        let provider = provider.unwrap_or(Provider::DockerRegistry);
        let place = Place::read(&mut section, provider)?;
        let urls = read_urls(&mut section, provider, registry, &place)?;
        let repositories = RepositoryOptions::read(&mut section, provider, &urls)?;
        let mut remote = Remote::new(name, provider, urls);
        remote.credentials = credentials::read(&mut section, provider, place, &remote.urls)?;
        remote.read_tls(&mut section)?;
        remote.read_limits(&mut section)?;
        remote.repositories = repositories;
        section.finish()?;
        if !remote.is_anonymous() || remote.client_cert.is_some() {
            self.with_credentials.push(remote.name.clone());
        }
        self.list.push(remote);
        Ok(())
    }
}

impl Remote {
    fn built_in(registry: &BuiltIn) -> Self {
        Self::new(
            registry.name.to_owned(),
            registry.provider,
            vec![registry.parsed_url()],
        )
    }

    /// One that was told nothing but its name and where it is; at least one URL, whose path ends with `/`.
    pub fn new(name: String, provider: Provider, urls: Vec<Url>) -> Self {
        Self {
            name,
            provider,
            urls,
            credentials: Credentials::None,
            verify_tls: true,
            ca: None,
            client_cert: None,
            proxy: None,
            connect_timeout: Duration::from_secs(2),
            header_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(15),
            retry_for: Duration::from_mins(1),
            realms: Vec::new(),
            max_connections: None,
            bandwidth: None,
            rate_reserve: 10,
            max_concurrent: None,
            allowed_hours: None,
            repositories: RepositoryOptions::default(),
        }
    }

    fn read_tls(&mut self, section: &mut Section<'_>) -> Result<(), ConfigError> {
        self.verify_tls = section.take("verify_tls", boolean)?.unwrap_or(true);
        self.ca = section.file("ca")?;
        self.client_cert = match (section.file("client_cert")?, section.file("client_key")?) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(section.error(
                    "client_cert",
                    Problem::new("set without `client_key`; the two go together"),
                ));
            }
            (None, Some(_)) => {
                return Err(section.error(
                    "client_key",
                    Problem::new("set without `client_cert`; the two go together"),
                ));
            }
        };
        self.proxy = section.take("proxy", proxy_url)?;
        Ok(())
    }

    fn read_limits(&mut self, section: &mut Section<'_>) -> Result<(), ConfigError> {
        let mut wait = |key, into: &mut Duration| -> Result<(), ConfigError> {
            *into = section.take(key, timeout)?.unwrap_or(*into);
            Ok(())
        };
        wait("connect_timeout", &mut self.connect_timeout)?;
        wait("header_timeout", &mut self.header_timeout)?;
        wait("answer_timeout", &mut self.answer_timeout)?;
        wait("idle_timeout", &mut self.idle_timeout)?;
        wait("retry_for", &mut self.retry_for)?;
        self.realms = section.take_list("realms", host)?.unwrap_or_default();
        self.max_connections = section.take("max_connections", count)?;
        self.bandwidth = section.take("bandwidth", bandwidth)?;
        let reserve = section.take("rate_reserve", value::whole)?;
        self.rate_reserve = reserve.unwrap_or(self.rate_reserve);
        self.max_concurrent = section.take("max_concurrent", count)?;
        self.allowed_hours = section.take("allowed_hours", hours)?;
        Ok(())
    }
}

fn read_urls(
    section: &mut Section<'_>,
    provider: Provider,
    registry: Option<&BuiltIn>,
    place: &Place,
) -> Result<Vec<Url>, ConfigError> {
    let wrong = |section: &Section<'_>, text| Err(section.error("urls", Problem::new(text)));
    match section.take_list("urls", remote_url)? {
        Some(urls) if urls.is_empty() => wrong(section, "expected at least one URL"),
        Some(urls) => Ok(urls),
        None => match place.url(provider).or(registry.map(BuiltIn::parsed_url)) {
            Some(url) => Ok(vec![url]),
            None => wrong(section, Place::hint(provider)),
        },
    }
}

/// Names of remotes stand in paths of the API and in labels.
pub(super) fn remote_name(node: &Node) -> Read<String> {
    let name = text(node)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if name.len() > 255 || !name.bytes().all(allowed) {
        return Err(Problem::new(format!(
            "expected letters, digits and `.`, `_`, `:`, `-`, found `{name}`"
        )));
    }
    Ok(name)
}

/// Two times of the day, `22:00-06:00`.
fn hours(node: &Node) -> Read<Hours> {
    let text = text(node)?;
    Hours::parse(&text).ok_or_else(|| {
        Problem::new(format!(
            "expected hours such as \"22:00-06:00\", found `{text}`"
        ))
    })
}
