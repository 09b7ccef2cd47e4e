//! `[database]`

use std::{fmt, path::PathBuf};

use url::Url;

use super::{
    ConfigError, Secret, Storage,
    error::Problem,
    section::Section,
    value::{self, Read},
};

/// Where rows are kept.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file of SQLite's.
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

/// `postgres://user:password@host:port/database?…`. Shown as scheme, host, port and database alone.
#[derive(Clone)]
pub struct PostgresUrl {
    secret: Secret,
    shown: String,
}

/// What may stand behind the `?`. The driver would ignore others, and log their values.
const PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

const SSL_MODES: &[&str] = &[
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

impl Database {
    /// The URL may hold a password, so it is read like a secret, and no refusal repeats it.
    pub(super) fn read(mut section: Section<'_>, storage: &Storage) -> Result<Self, ConfigError> {
        let in_storage = || Self::Sqlite(storage.path.join("entrepot.db"));
        let database = match section.secret("url")? {
            None => in_storage(),
            Some(url) => match url.expose().split_once("://") {
                None if url.expose() == "sqlite" => in_storage(),
                Some(("sqlite", path)) if !path.is_empty() => {
                    Self::Sqlite(section.folder().join(path))
                }
                Some(("postgres" | "postgresql", _)) => PostgresUrl::parse(&url)
                    .map(Self::Postgres)
                    .map_err(|problem| section.error("url", problem))?,
                _ => {
                    let problem = Problem::new(
                        "expected \"sqlite\", \"sqlite:///path\" or \"postgres://user:password@host/database\"",
                    );
                    return Err(section.error("url", problem));
                }
            },
        };
        section.finish()?;
        Ok(database)
    }
}

/// The file, or the URL without credentials.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl PostgresUrl {
    fn parse(secret: &Secret) -> Read<Self> {
        let url = Url::parse(secret.expose().trim())
            .map_err(|_| Problem::new("expected a URL such as \"postgres://user:password@host/database\"")
                .hint("characters other than letters, digits and -._~ in user and password are written as %XX"))?;
        for (key, value) in url.query_pairs() {
            check_parameter(&key, &value)?;
        }
        let mut shown = format!("postgres://{}", url.host_str().unwrap_or_default());
        if let Some(port) = url.port() {
            shown = format!("{shown}:{port}");
        }
        Ok(Self {
            secret: Secret::new(url.to_string()),
            shown: shown + url.path(),
        })
    }

    /// The whole URL, for the one place that connects.
    pub fn expose(&self) -> &str {
        self.secret.expose()
    }
}

fn check_parameter(key: &str, value: &str) -> Read<()> {
    if !PARAMETERS.contains(&key) {
        let problem = Problem::new(format!(
            "no such parameter; there are {}",
            PARAMETERS.join(", ")
        ));
        return Err(match value::nearest(key, PARAMETERS.iter().copied()) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem,
        });
    }
    let expected = match key {
        "sslmode" if !SSL_MODES.contains(&value) => SSL_MODES.join(", "),
        "port" if value.parse::<u16>().is_err() => "a port".to_owned(),
        "statement-cache-capacity" if value.parse::<u16>().is_err() => "a number".to_owned(),
        _ => return Ok(()),
    };
    Err(Problem::new(format!(
        "parameter `{key}`: expected {expected}"
    )))
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;

    fn database(environment: &[(&str, &str)]) -> super::Database {
        let environment = environment
            .iter()
            .chain(&[("ENTREPOT__SECRETS__KEY", "0123456789abcdef")])
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        load(None, environment).unwrap().database
    }

    #[test]
    fn a_file_of_sqlites_may_be_anywhere() {
        let file = database(&[("ENTREPOT__DATABASE__URL", "sqlite:///var/x.db")]);
        assert_eq!(file.to_string(), "/var/x.db");
        let default = database(&[("ENTREPOT__DATABASE__URL", "sqlite")]);
        assert_eq!(default.to_string(), "entrepot-data/entrepot.db");
    }

    #[test]
    fn a_url_of_postgresql_is_shown_without_credentials() {
        for (url, shown) in [
            (
                "postgres://user:hunter2@host/db?sslmode=require",
                "postgres://host/db",
            ),
            (
                "postgresql://user:hunter2@[::1]:5433/db?password=hunter2",
                "postgres://[::1]:5433/db",
            ),
            (
                "postgres:///db?host=/run/postgresql&password=hunter2",
                "postgres:///db",
            ),
        ] {
            let database = database(&[("ENTREPOT__DATABASE__URL", url)]);
            assert_eq!(database.to_string(), shown);
            assert!(!format!("{database:?}").contains("hunter2"));
            let super::Database::Postgres(read) = database else {
                panic!("{url} is no PostgreSQL");
            };
            assert!(read.expose().contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn a_url_may_be_in_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("entrepot.toml");
        std::fs::write(
            &file,
            "[database]\nurl = { file = \"url\" }\n[secrets]\nkey = \"0123456789abcdef\"\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("url"), "postgres://u:hunter2@host/db\n").unwrap();
        let config = load(Some(&file), []).unwrap();
        assert_eq!(config.database.to_string(), "postgres://host/db");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
