//! `storage.url`, `[storage.options]` and `storage.local_max_bytes`: content in object storage.

mod options;

use std::collections::BTreeMap;

use self::options::{HTTP, Kind, Known, S3, S3_LOGIN, S3_SAME};
use super::{
    ConfigError, Secret,
    error::Problem,
    section::Section,
    tree::{Node, Value},
    value::{self, Read, size},
};

/// A bucket, and how to get to it.
#[derive(Debug, Clone)]
pub struct ObjectStorage {
    pub service: ObjectService,
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends; empty for none.
    pub prefix: String,
    /// Options by the names that `object_store` takes; a value of each kind is checked.
    pub options: Vec<(&'static str, Secret)>,
    /// How much of the content is kept on the local disk too.
    pub local_max_bytes: u64,
}

/// Whose storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectService {
    /// Amazon S3, or anything that speaks its protocol.
    S3,
    #[cfg(feature = "gcs")]
    Gcs,
    #[cfg(feature = "azure")]
    Azure,
}

const LOCAL_MAX_BYTES: u64 = 20 << 30;

impl ObjectStorage {
    /// `None`: content is kept on the local disk only.
    pub(super) fn read(section: &mut Section<'_>) -> Result<Option<Self>, ConfigError> {
        let url = section.take("url", url)?;
        let local_max_bytes = section.take("local_max_bytes", size)?;
        let options = section.table("options")?;
        let Some((service, bucket, prefix)) = url else {
            if local_max_bytes.is_some() {
                return Err(section.error("local_max_bytes", needs_url()));
            }
            if options.is_set() {
                return Err(section.error("options", needs_url()));
            }
            return Ok(None);
        };
        Ok(Some(Self {
            service,
            bucket,
            prefix,
            options: read_options(options, service)?,
            local_max_bytes: local_max_bytes.unwrap_or(LOCAL_MAX_BYTES),
        }))
    }
}

fn needs_url() -> Problem {
    Problem::new("is about content in object storage, and `storage.url` is not set")
        .hint("`storage.url = \"s3://bucket/prefix\"` keeps content in a bucket")
}

impl ObjectService {
    fn of(scheme: &str) -> Read<Self> {
        match scheme {
            "s3" => Ok(Self::S3),
            #[cfg(feature = "gcs")]
            "gs" => Ok(Self::Gcs),
            #[cfg(feature = "azure")]
            "az" => Ok(Self::Azure),
            #[cfg(not(feature = "gcs"))]
            "gs" => Err(not_built("Google Cloud Storage", "gcs")),
            #[cfg(not(feature = "azure"))]
            "az" => Err(not_built("Azure Blob Storage", "azure")),
            _ => Err(expected_url()),
        }
    }

    fn options(self) -> Vec<&'static Known> {
        let own: &[&'static [Known]] = match self {
            Self::S3 => &[S3],
            #[cfg(feature = "gcs")]
            Self::Gcs => &[options::GCS],
            #[cfg(feature = "azure")]
            Self::Azure => &[options::AZURE, options::AZURE_LOGIN],
        };
        own.iter().copied().chain([HTTP]).flatten().collect()
    }
}

#[cfg(not(all(feature = "gcs", feature = "azure")))]
fn not_built(service: &str, feature: &str) -> Problem {
    Problem::new(format!("this build does not know {service}"))
        .hint(format!("build it with `--features {feature}`"))
}

fn expected_url() -> Problem {
    Problem::new("expected \"s3://bucket\" or \"s3://bucket/prefix\"")
        .hint("where the bucket's server is goes into `storage.options.endpoint`")
}

/// Service, bucket and prefix. The URL of something else may hold a password: it is not repeated.
fn url(node: &Node) -> Read<(ObjectService, String, String)> {
    let url = value::text(node)?;
    let (scheme, rest) = url.split_once("://").ok_or_else(expected_url)?;
    let service = ObjectService::of(scheme)?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_name = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !name.is_empty() && name.bytes().all(plain) && name != "." && name != ".."
    };
    if !is_name(bucket) || !(prefix.is_empty() || prefix.split('/').all(is_name)) {
        let allowed = "bucket and prefix may have letters, digits, `-`, `_`, `.` and, between parts of the prefix, `/`";
        return Err(Problem::new(allowed));
    }
    Ok((service, bucket.to_owned(), prefix.to_owned()))
}

/// What was set: option by option, by its short name.
type Set = BTreeMap<&'static str, (&'static Known, Secret)>;

fn read_options(
    mut section: Section<'_>,
    service: ObjectService,
) -> Result<Vec<(&'static str, Secret)>, ConfigError> {
    let mut set = Set::new();
    let (folder, environment) = (section.folder(), section.environment());
    for known in service.options() {
        let long = (known.long != known.name && section.has(known.long)).then_some(known.long);
        for key in [known.name].into_iter().chain(long) {
            let read = |node: &Node| read_value(node, known.kind, folder, environment);
            if let Some(secret) = section.take(key, read)?
                && set.insert(known.name, (known, secret)).is_some()
            {
                let twice = Problem::new(format!("the same as `{}`, which is set too", known.name));
                return Err(section.error(key, twice));
            }
        }
    }
    if service == ObjectService::S3 {
        fill_in(&mut set, &section)?;
        check_s3(&set, &section)?;
    }
    section.finish()?;
    let option = |(known, secret): (&'static Known, Secret)| (known.long, secret);
    Ok(set.into_values().map(option).collect())
}

/// A text, `{env = "NAME"}`, `{file = "PATH"}`, or true, false or a number as TOML has them.
fn read_value(
    node: &Node,
    kind: Kind,
    folder: &std::path::Path,
    environment: &BTreeMap<String, String>,
) -> Read<Secret> {
    let secret = match &node.value {
        Value::Boolean(flag) => Secret::new(flag.to_string()),
        _ => super::secret::read(node, folder, environment)?,
    };
    kind.check(secret.expose())?;
    Ok(match kind {
        Kind::Path => Secret::new(folder.join(secret.expose()).to_string_lossy().into_owned()),
        _ => secret,
    })
}

/// What the file leaves out is taken from the variables that every program for S3 knows (`AWS_REGION` and so on), among
/// them those by which a cluster gives its pods a role.
fn fill_in(set: &mut Set, section: &Section<'_>) -> Result<(), ConfigError> {
    let has_login = S3_LOGIN.iter().any(|name| set.contains_key(name));
    let from_file: Vec<&str> = set.keys().copied().collect();
    let is_said = |name: &str| {
        let same = S3_SAME.iter().find(|names| names.contains(&name));
        let mut names = same
            .copied()
            .unwrap_or_default()
            .iter()
            .chain([&name])
            .copied();
        names.any(|name| from_file.contains(&name)) || (has_login && S3_LOGIN.contains(&name))
    };
    for known in S3.iter().filter(|known| !is_said(known.name)) {
        let variable = known.long.to_ascii_uppercase();
        let Some(text) = section.environment().get(&variable) else {
            continue;
        };
        if text.is_empty() {
            continue;
        }
        known.kind.check(text).map_err(|problem| ConfigError {
            file: None,
            line: None,
            key: variable,
            problem: problem.text,
            hint: problem.hint,
        })?;
        set.insert(known.name, (known, Secret::new(text.clone())));
    }
    Ok(())
}

/// What one option says about another.
fn check_s3(set: &Set, section: &Section<'_>) -> Result<(), ConfigError> {
    for (one, other) in [
        ("access_key_id", "secret_access_key"),
        ("secret_access_key", "access_key_id"),
        ("session_token", "access_key_id"),
        ("web_identity_token_file", "role_arn"),
    ] {
        if set.contains_key(one) && !set.contains_key(other) {
            let problem = Problem::new(format!("`{other}` is missing beside it"));
            return Err(section.error(one, problem));
        }
    }
    let is_true = |name: &str| {
        set.get(name)
            .is_some_and(|(_, secret)| secret.expose() == "true")
    };
    for name in ["endpoint", "endpoint_url", "endpoint_url_s3"] {
        let plain = set
            .get(name)
            .is_some_and(|(_, url)| url.expose().starts_with("http:"));
        if plain && !is_true("allow_http") {
            let problem = Problem::new("plain HTTP is not allowed unless the options say so")
                .hint("`allow_http = true` under `[storage.options]` allows it");
            return Err(section.error(name, problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
