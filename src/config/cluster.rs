//! `[cluster]`

use url::Url;

use super::{
    Access, ConfigError, Database, Secret, Storage, error::Problem, section::Section,
    value::origin_url,
};

/// This process is one of several that share a database and a bucket.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Where the other replicas reach this one: scheme, host and port.
    pub advertise_url: Url,
    /// Known to all replicas, and to nobody else.
    pub secret: Secret,
}

/// Shorter ones are found by trying.
const SECRET_MIN_BYTES: usize = 16;

impl Cluster {
    /// `None`: there is one replica.
    pub(super) fn read(
        mut section: Section<'_>,
        storage: &Storage,
        database: &Database,
        access: &Access,
    ) -> Result<Option<Self>, ConfigError> {
        let advertise_url = section.take("advertise_url", origin_url)?;
        let secret = section.secret("secret")?;
        let (advertise_url, secret) = match (advertise_url, secret) {
            (Some(advertise_url), Some(secret)) => (advertise_url, secret),
            (None, None) => {
                section.finish()?;
                return Ok(None);
            }
            (None, Some(_)) => return Err(section.error("advertise_url", missing())),
            (Some(_), None) => return Err(section.error("secret", missing())),
        };
        if secret.expose().len() < SECRET_MIN_BYTES {
            let problem = Problem::new(format!(
                "a secret of replicas has {SECRET_MIN_BYTES} bytes or more"
            ));
            return Err(section.error("secret", problem.hint("`openssl rand -hex 32` makes one")));
        }
        if let Some(problem) = unshared(storage, database, access) {
            return Err(section.error("advertise_url", problem));
        }
        section.finish()?;
        Ok(Some(Self {
            advertise_url,
            secret,
        }))
    }
}

fn missing() -> Problem {
    Problem::new("missing; `advertise_url` and `secret` go together")
}

/// What the replicas would not have in common.
fn unshared(storage: &Storage, database: &Database, access: &Access) -> Option<Problem> {
    let needs =
        |what: &str| Problem::new(format!("replicas share rows, content and users: {what}"));
    if matches!(database, Database::Sqlite(_)) {
        let problem = needs("`database.url` must be that of a PostgreSQL database");
        return Some(problem.hint("`database.url = \"postgres://user:password@host/database\"`"));
    }
    if storage.objects.is_none() {
        let problem = needs("`storage.url` must be that of a bucket");
        return Some(problem.hint("`storage.url = \"s3://bucket/prefix\"`"));
    }
    if access.admin_password.is_none() {
        let problem =
            needs("`access.admin_password` must be set, or each would make one of its own");
        return Some(problem.hint("`admin_password = { env = \"ENTREPOT_ADMIN_PASSWORD\" }`"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError, load};

    const URL: (&str, &str) = ("ENTREPOT__CLUSTER__ADVERTISE_URL", "http://10.0.0.7:5000");
    const SECRET: (&str, &str) = ("ENTREPOT__CLUSTER__SECRET", "0123456789abcdef");
    const DATABASE: (&str, &str) = ("ENTREPOT__DATABASE__URL", "postgres://host/db");
    const BUCKET: (&str, &str) = ("ENTREPOT__STORAGE__URL", "s3://bucket/prefix");
    const ADMIN: (&str, &str) = ("ENTREPOT__ACCESS__ADMIN_PASSWORD", "a password");

    fn loaded(environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = environment
            .iter()
            .chain(&[("ENTREPOT__SECRETS__KEY", "0123456789abcdef")])
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        load(None, environment)
    }

    #[test]
    fn a_replica_has_an_address_and_a_secret_that_is_never_shown() {
        let config = loaded(&[URL, SECRET, DATABASE, BUCKET, ADMIN]).unwrap();
        assert!(!format!("{config:?}").contains(SECRET.1));
        let cluster = config.cluster.unwrap();
        assert_eq!(cluster.advertise_url.as_str(), "http://10.0.0.7:5000/");
        assert_eq!(cluster.secret.expose(), SECRET.1);
        assert!(loaded(&[DATABASE, BUCKET]).unwrap().cluster.is_none());
    }

    #[test]
    fn what_replicas_need_is_named_when_it_is_missing() {
        for (environment, named) in [
            (&[URL, DATABASE, BUCKET, ADMIN][..], "secret"),
            (&[SECRET, DATABASE, BUCKET, ADMIN], "advertise_url"),
            (&[URL, SECRET, BUCKET, ADMIN], "database.url"),
            (&[URL, SECRET, DATABASE, ADMIN], "storage.url"),
            (&[URL, SECRET, DATABASE, BUCKET], "access.admin_password"),
            (
                &[URL, (SECRET.0, "short"), DATABASE, BUCKET, ADMIN],
                "16 bytes",
            ),
            (
                &[
                    (URL.0, "http://host:1/path"),
                    SECRET,
                    DATABASE,
                    BUCKET,
                    ADMIN,
                ],
                "ADVERTISE_URL",
            ),
        ] {
            let error = loaded(environment).unwrap_err().to_string();
            assert!(error.contains(named), "{error} does not name {named}");
            assert!(!error.contains("short"), "{error}");
        }
    }
}
