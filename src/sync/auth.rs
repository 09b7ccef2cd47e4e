//! Logins by registry and namespace, as image-syncer's `auth` files have them.

use serde::Deserialize;

use super::{Place, Reach, entries::Entries, expand::Variables};
use crate::config::{Credentials, Secret};

/// The user name with which image-syncer marks the key of a Google service account, and what Google's registries call it.
const GOOGLE_KEY: (&str, &str) = ("_oauth2_", "_json_key_base64");

/// One login of the file. Unknown keys are ignored.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    insecure: bool,
}

/// All logins; without any, everybody is asked as nobody.
#[derive(Default)]
pub struct Auth(Vec<(String, Entry)>);

/// The login for a place.
pub struct Matched<'a> {
    /// Its key in the file; empty if none fits.
    pub key: &'a str,
    entry: Option<&'a Entry>,
}

impl Auth {
    pub(super) fn new(entries: Entries<Login>) -> Self {
        let entries = entries
            .0
            .into_iter()
            .map(|(key, Login(entry))| (key, entry));
        Self(entries.collect())
    }

    /// As `new`, with variables in names and passwords.
    pub(super) fn expanded(entries: Entries<Login>, variables: &Variables) -> Self {
        let mut auth = Self::new(entries);
        for (_, entry) in &mut auth.0 {
            entry.username = variables.expand(&entry.username);
            entry.password = variables.expand(&entry.password);
        }
        auth
    }

    /// The login with the longest key that is the place's registry, or a prefix of its name that ends at a `/`.
    pub fn of(&self, place: &Place) -> Matched<'_> {
        let full = place.to_string();
        let fits = |key: &str| {
            let key = normal(key);
            full.strip_prefix(&key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let fitting = self.0.iter().filter(|(key, _)| fits(key));
        match fitting.max_by_key(|(key, _)| normal(key).len()) {
            Some((key, entry)) => Matched {
                key,
                entry: Some(entry),
            },
            None => Matched {
                key: "",
                entry: None,
            },
        }
    }
}

impl Matched<'_> {
    pub fn username(&self) -> Option<&str> {
        let name = self.entry.map(|entry| entry.username.as_str());
        name.filter(|name| !name.is_empty())
    }

    pub fn reach(&self) -> Reach {
        let credentials = self.username().map(|username| {
            let (marked, google) = GOOGLE_KEY;
            let username = if username == marked { google } else { username };
            let password = self.entry.map_or("", |entry| &entry.password);
            Credentials::Password {
                username: username.to_owned(),
                password: Secret::new(password.to_owned()),
            }
        });
        Reach {
            credentials: credentials.unwrap_or(Credentials::None),
            insecure: self.entry.is_some_and(|entry| entry.insecure),
        }
    }

    /// Who it is, for messages.
    pub fn describe(&self) -> String {
        match (self.username(), self.key) {
            (Some(name), key) => format!("user `{name}` of the auth key `{key}`"),
            (None, "") => "nobody: no auth key fits".to_owned(),
            (None, key) => format!("nobody: the auth key `{key}` has no username"),
        }
    }
}

/// An entry that is read, without showing what it holds.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Login(Entry);

/// Docker Hub has several names.
fn normal(key: &str) -> String {
    let key = key.trim_end_matches('/');
    let (host, rest) = key.split_once('/').unwrap_or((key, ""));
    match (host, rest) {
        ("index.docker.io" | "registry-1.docker.io", "") => "docker.io".to_owned(),
        ("index.docker.io" | "registry-1.docker.io", rest) => format!("docker.io/{rest}"),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(json: &str) -> Auth {
        Auth::new(serde_json::from_str(json).unwrap())
    }

    fn key<'a>(auth: &'a Auth, place: &str) -> &'a str {
        auth.of(&place.parse().unwrap()).key
    }

    #[test]
    fn the_longest_key_that_ends_at_a_slash_wins() {
        let auth = auth(
            r#"{"quay.io": {}, "quay.io/coreos": {"username": "u"}, "quay.io/coreos/etcd/x": {}, "quay.io/core": {}}"#,
        );
        assert_eq!(key(&auth, "quay.io/coreos/etcd"), "quay.io/coreos");
        assert_eq!(key(&auth, "quay.io/coreosx/etcd"), "quay.io");
        assert_eq!(key(&auth, "quay.io/coreos/etcd/x"), "quay.io/coreos/etcd/x");
        assert_eq!(key(&auth, "ghcr.io/a/b"), "");
    }

    #[test]
    fn docker_hub_is_known_by_each_of_its_names() {
        let auth = auth(r#"{"index.docker.io/user": {}, "docker.io": {}}"#);
        assert_eq!(key(&auth, "user/app"), "index.docker.io/user");
        assert_eq!(key(&auth, "nginx"), "docker.io");
    }

    #[test]
    fn the_key_of_a_google_account_is_sent_as_google_wants_it() {
        let auth = auth(r#"{"gcr.io": {"username": "_oauth2_", "password": "e30="}}"#);
        let reach = auth.of(&"gcr.io/a/b".parse().unwrap()).reach();
        let Credentials::Password { username, .. } = reach.credentials else {
            panic!("{reach:?}");
        };
        assert_eq!(username, "_json_key_base64");
    }

    #[test]
    fn a_refusal_can_name_who_was_refused() {
        let auth = auth(r#"{"r.io": {"username": "u", "password": "secret"}, "s.io": {}}"#);
        let told = |place: &str| auth.of(&place.parse().unwrap()).describe();
        assert_eq!(told("r.io/a"), "user `u` of the auth key `r.io`");
        assert_eq!(
            told("s.io/a"),
            "nobody: the auth key `s.io` has no username"
        );
        assert_eq!(told("t.io/a"), "nobody: no auth key fits");
    }
}
