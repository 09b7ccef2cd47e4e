//! Reading image-syncer's files: `auth` and `images`, or the older single one with both in it. JSON or YAML, by the name's
//! ending; unknown keys are ignored.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Auth, Defaults, Rule, RuleError, Variables,
    auth::Login,
    entries::Entries,
    rule::{self, Destinations},
};

/// Files are written by people; one that is larger is another kind of file.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Which files there are.
#[derive(Debug, Default)]
pub struct Files {
    /// Both in one; beats the other two.
    pub config: Option<PathBuf>,
    pub auth: Option<PathBuf>,
    pub images: Option<PathBuf>,
}

/// What the files say.
pub struct Plan {
    pub auth: Auth,
    pub rules: Vec<Rule>,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("neither config.json nor images.json is provided")]
    NoFile,
    #[error("cannot read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{}` is larger than 16 MiB", path.display())]
    TooLarge { path: PathBuf },
    #[error("`{}`: only .yaml, .yml and .json files are read", path.display())]
    Kind { path: PathBuf },
    #[error("`{}`: {message}", path.display())]
    Format { path: PathBuf, message: String },
    #[error(transparent)]
    Rule(#[from] RuleError),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Both {
    auth: Entries<Login>,
    images: Entries<Destinations>,
}

impl Files {
    /// Reads what is given. Variables are expanded in destinations, and in logins of an `auth` file.
    pub fn read(&self, defaults: &Defaults, variables: &Variables) -> Result<Plan, FileError> {
        if let Some(path) = &self.config {
            let both: Both = read(path)?;
            return Ok(Plan {
                auth: Auth::new(both.auth),
                rules: rule::read(both.images, defaults, variables)?,
            });
        }
        let Some(images) = &self.images else {
            return Err(FileError::NoFile);
        };
        let auth = match &self.auth {
            Some(path) => Auth::expanded(read(path)?, variables),
            None => Auth::default(),
        };
        Ok(Plan {
            auth,
            rules: rule::read(read(images)?, defaults, variables)?,
        })
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
        });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let format = |message: String| FileError::Format {
        path: path.to_owned(),
        message,
    };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|error| format(error.to_string())),
        Some("yaml" | "yml") => {
            serde_saphyr::from_str(&text).map_err(|error| format(error.to_string()))
        }
        _ => Err(FileError::Kind {
            path: path.to_owned(),
        }),
    }
}
