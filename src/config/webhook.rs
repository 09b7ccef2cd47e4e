//! `[[webhook]]`: who is told of what happens here.

use std::{path::PathBuf, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use url::Url;

use super::{
    ConfigError, Pattern, Secret,
    error::Problem,
    remote::remote_name,
    section::Section,
    value::{boolean, choice, count, pattern, proxy_url, timeout, webhook_url},
};

/// A receiver of notices.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub name: String,
    /// Its query may hold a key: never to be shown.
    pub url: Url,
    /// What deliveries are signed with.
    secret: Secret,
    /// The words for what it is told of; empty: everything.
    pub events: Vec<&'static str>,
    /// On names of projects, one has to match; empty: all.
    pub projects: Vec<Pattern>,
    /// For one delivery.
    pub timeout: Duration,
    /// What is older is not delivered any more.
    pub max_age: Duration,
    /// Of what waits for it the newest.
    pub max_waiting: u32,
    /// False: certificates that nobody signed are accepted.
    pub verify_tls: bool,
    /// Further trusted certificates, PEM.
    pub ca: Option<PathBuf>,
    pub proxy: Option<Url>,
}

const EVENTS: &[(&str, &str)] = &[
    ("pushed", "pushed"),
    ("filled", "filled"),
    ("labelled", "labelled"),
    ("deleted", "deleted"),
    ("execution_started", "execution_started"),
    ("execution_succeeded", "execution_succeeded"),
    ("execution_failed", "execution_failed"),
    ("execution_stopped", "execution_stopped"),
];

const KEY_PREFIX: &str = "whsec_";

/// A key that is shorter is guessed.
const MIN_SECRET_BYTES: usize = 16;

impl Webhook {
    /// All words for what a webhook can be told of.
    #[cfg(test)]
    pub fn all_events() -> impl Iterator<Item = &'static str> {
        EVENTS.iter().map(|(word, _)| *word)
    }

    pub(super) fn read_all(root: &mut Section<'_>) -> Result<Vec<Self>, ConfigError> {
        let mut webhooks: Vec<Self> = Vec::new();
        for mut section in root.tables("webhook")? {
            let webhook = Self::read(&mut section)?;
            if webhooks.iter().any(|known| known.name == webhook.name) {
                let problem = format!("another webhook is called `{}` already", webhook.name);
                return Err(section.error("name", Problem::new(problem)));
            }
            section.finish()?;
            webhooks.push(webhook);
        }
        Ok(webhooks)
    }

    fn read(section: &mut Section<'_>) -> Result<Self, ConfigError> {
        let missing =
            |section: &Section<'_>, key, text: &str| section.error(key, Problem::new(text));
        let name = section
            .take("name", remote_name)?
            .ok_or_else(|| missing(section, "name", "missing; every webhook has a name"))?;
        let url = section
            .take("url", webhook_url)?
            .ok_or_else(|| missing(section, "url", "missing"))?;
        let secret = section
            .secret("secret")?
            .ok_or_else(|| missing(section, "secret", "missing; deliveries are signed with it"))?;
        if key(secret.expose()).is_none() {
            let problem = format!("expected base64 after `{KEY_PREFIX}`");
            return Err(section.error("secret", Problem::new(problem)));
        }
        if secret.expose().len() < MIN_SECRET_BYTES {
            let problem = format!("expected at least {MIN_SECRET_BYTES} characters");
            let hint = "make one with `openssl rand -hex 32`";
            return Err(section.error("secret", Problem::new(problem).hint(hint)));
        }
        Ok(Self {
            name,
            url,
            secret,
            events: section
                .take_list("events", choice(EVENTS))?
                .unwrap_or_default(),
            projects: section.take_list("projects", pattern)?.unwrap_or_default(),
            timeout: section
                .take("timeout", timeout)?
                .unwrap_or(Duration::from_secs(10)),
            max_age: section
                .take("max_age", timeout)?
                .unwrap_or(Duration::from_hours(3 * 24)),
            max_waiting: section.take("max_waiting", count)?.unwrap_or(100_000),
            verify_tls: section.take("verify_tls", boolean)?.unwrap_or(true),
            ca: section.file("ca")?,
            proxy: section.take("proxy", proxy_url)?,
        })
    }

    /// What deliveries are signed with: what the base64 after `whsec_` stands for, as receivers' libraries have it; any
    /// other secret as it is.
    pub fn key(&self) -> Vec<u8> {
        key(self.secret.expose()).expect("checked when it was read")
    }

    /// Is it told of what has this word?
    pub fn wants_event(&self, word: &str) -> bool {
        self.events.is_empty() || self.events.contains(&word)
    }

    /// Is it told of what happens in this project?
    pub fn wants_project(&self, project: &str) -> bool {
        let matches = |pattern: &Pattern| pattern.matches(project);
        self.projects.is_empty() || self.projects.iter().any(matches)
    }
}

fn key(secret: &str) -> Option<Vec<u8>> {
    match secret.strip_prefix(KEY_PREFIX) {
        Some(encoded) => BASE64_STANDARD.decode(encoded).ok(),
        None => Some(secret.as_bytes().to_vec()),
    }
}
