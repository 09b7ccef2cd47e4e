//! The credentials of a remote: which kind, and what its provider needs to know besides.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    ConfigError, Provider, Secret, cloud,
    error::Problem,
    section::Section,
    tree::Node,
    value::{Read, boolean, choice, text},
};

/// How we prove to a remote who we are.
#[derive(Debug, Clone, PartialEq)]
pub enum Credentials {
    /// Not at all.
    None,
    Password {
        username: String,
        password: Secret,
    },
    /// A token without a name: exchanged at the remote's token server, or sent as it is where there is none.
    Token(Secret),
    /// A program that speaks Docker's protocol for credential helpers.
    Helper(PathBuf),
    DockerConfig(DockerConfig),
    /// What the provider's own service gives for an access key, or for what this machine is.
    Cloud(Cloud),
}

/// Where the logins of other programs are looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct DockerConfig {
    /// In the order in which they are searched; they may come and go.
    pub files: Vec<PathBuf>,
    /// The folders of `PATH`, for the helper programs that the files name.
    pub programs: Vec<PathBuf>,
}

/// What a provider's service needs to give out a login.
#[derive(Debug, Clone, PartialEq)]
pub struct Cloud {
    /// `None`: the credentials of the environment.
    pub key: Option<AccessKey>,
    pub environment: Variables,
    /// Tencent TCR: name, or id `tcr-…`; Alibaba ACR: id `cri-…`.
    pub instance: Option<String>,
    pub region: Option<String>,
}

impl Cloud {
    /// The region of a registry of this remote: as configured, else as its host says.
    pub fn region_of(&self, provider: Provider, url: &url::Url) -> Option<String> {
        let told = url
            .host_str()
            .and_then(|host| cloud::region(provider, host));
        self.region.clone().or(told)
    }
}

/// The long-lived key of an account at a cloud.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessKey {
    pub id: String,
    pub secret: Secret,
}

/// Variables of the environment that providers look at; `Debug` shows their names only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variables(BTreeMap<String, Secret>);

impl Variables {
    const PREFIXES: [&'static str; 5] = [
        "AWS_",
        "GOOGLE_",
        "AZURE_",
        "ALIBABA_CLOUD_",
        "TENCENTCLOUD_",
    ];

    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        let wanted = environment.iter().filter(|(name, value)| {
            !value.is_empty() && Self::PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        });
        Self(
            wanted
                .map(|(name, value)| (name.clone(), Secret::new(value.clone())))
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::expose)
    }
}

/// The keys that say who we are, as they are set.
struct Keys {
    username: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    helper: Option<PathBuf>,
    docker_config: bool,
    environment: bool,
}

/// Reads all keys on credentials of one `[[remote]]`.
pub(super) fn read(
    section: &mut Section<'_>,
    provider: Provider,
    place: cloud::Place,
    urls: &[url::Url],
) -> Result<Credentials, ConfigError> {
    let keys = Keys::take(section)?;
    keys.check(section, provider)?;
    let cloud = |key| Cloud {
        key,
        environment: Variables::new(section.environment()),
        instance: place.instance,
        region: place.region,
    };
    let needs_login = || provider == Provider::Ecr && !urls.iter().all(cloud::is_public_ecr);
    let credentials = match (keys.username, keys.password.or(keys.token)) {
        (Some(id), Some(secret)) if cloud::is_access_key(provider, &id) => {
            Credentials::Cloud(cloud(Some(AccessKey { id, secret })))
        }
        (Some(username), Some(password)) => Credentials::Password { username, password },
        (None, Some(token)) => Credentials::Token(token),
        _ => match keys.helper {
            Some(program) => Credentials::Helper(program),
            None if keys.docker_config => {
                Credentials::DockerConfig(DockerConfig::required(section)?)
            }
            None if keys.environment || needs_login() => Credentials::Cloud(cloud(None)),
            None => Credentials::None,
        },
    };
    if let Credentials::Cloud(cloud) = &credentials {
        for url in urls {
            if cloud::needs_region(provider) && cloud.region_of(provider, url).is_none() {
                let text =
                    "missing; the URL does not tell the region, expected such as \"eu-central-1\"";
                return Err(section.error("region", Problem::new(text)));
            }
        }
    }
    Ok(credentials)
}

impl Keys {
    fn take(section: &mut Section<'_>) -> Result<Self, ConfigError> {
        let folders = programs(section.environment());
        Ok(Self {
            username: section.take("username", text)?,
            password: section.secret("password")?,
            token: section.secret("token")?,
            helper: section.take("credential_helper", |node| helper(node, &folders))?,
            docker_config: section.take("docker_config", boolean)?.unwrap_or(false),
            environment: section
                .take("credentials", choice(&[("environment", ())]))?
                .is_some(),
        })
    }

    fn check(&self, section: &Section<'_>, provider: Provider) -> Result<(), ConfigError> {
        let wrong = |key, text: String| Err(section.error(key, Problem::new(text)));
        let secret = self.password.is_some() || self.token.is_some();
        if self.username.is_some() && !secret {
            return wrong(
                "username",
                "set without `password` or `token`; it goes with one of them".to_owned(),
            );
        }
        if self.password.is_some() && self.token.is_some() {
            return wrong(
                "token",
                "set beside `password`; one of the two is allowed".to_owned(),
            );
        }
        if self.password.is_some() && self.username.is_none() {
            return wrong(
                "password",
                "set without `username`; the two go together".to_owned(),
            );
        }
        let kinds = [
            ("username", self.username.is_some()),
            ("token", self.token.is_some() && self.username.is_none()),
            ("credential_helper", self.helper.is_some()),
            ("docker_config", self.docker_config),
            ("credentials", self.environment),
        ];
        let mut set = kinds.iter().filter(|(_, set)| *set);
        if let (Some((first, _)), Some((second, _))) = (set.next(), set.next()) {
            return wrong(
                second,
                format!("set beside `{first}`; a remote has one kind of credentials"),
            );
        }
        if self.environment && !cloud::has_service(provider) {
            let text =
                "\"environment\" is for the providers ecr, google, azure, aliyun and tencent";
            return wrong("credentials", text.to_owned());
        }
        Ok(())
    }
}

impl DockerConfig {
    /// Named files first, then where podman and Docker keep theirs. `None`: the environment names no place to look.
    pub fn find(environment: &BTreeMap<String, String>) -> Option<Self> {
        let variable = |name: &str| {
            let value = environment.get(name);
            value.filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let docker =
            variable("DOCKER_CONFIG").or(variable("HOME").map(|home| home.join(".docker")));
        let candidates = [
            variable("REGISTRY_AUTH_FILE"),
            variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            docker.map(|folder| folder.join("config.json")),
        ];
        let files: Vec<PathBuf> = candidates.into_iter().flatten().collect();
        (!files.is_empty()).then(|| Self {
            files,
            programs: programs(environment),
        })
    }

    fn required(section: &Section<'_>) -> Result<Self, ConfigError> {
        Self::find(section.environment()).ok_or_else(|| {
            let text = "there is no place to look; expected HOME, DOCKER_CONFIG, XDG_RUNTIME_DIR or REGISTRY_AUTH_FILE in the environment";
            section.error("docker_config", Problem::new(text))
        })
    }
}

/// The folders of `PATH`.
fn programs(environment: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let path = environment.get("PATH");
    path.map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default()
}

/// The program of a credential helper's name.
fn helper(node: &Node, folders: &[PathBuf]) -> Read<PathBuf> {
    let name = text(node)?;
    let Some(program) = helper_program(&name, folders) else {
        return Err(Problem::new(format!(
            "expected the name after `docker-credential-` of a program in PATH, found `{name}`"
        )));
    };
    Ok(program)
}

/// Where the program `docker-credential-<name>` is: the first of the folders that has it.
pub fn helper_program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || !name.bytes().all(allowed) {
        return None;
    }
    let program = format!("docker-credential-{name}");
    let paths = folders.iter().map(|folder| folder.join(&program));
    paths.into_iter().find(|path: &PathBuf| Path::is_file(path))
}

#[cfg(test)]
mod tests;
