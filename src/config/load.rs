//! Finding and reading the file and the environment.

use std::path::Path;

use super::{Config, ConfigError};

/// Reads `file` (or only the defaults) and then `ENTREPOT__SECTION__KEY` variables from `environment`.
pub fn load(
    _file: Option<&Path>,
    _environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    todo!()
}
