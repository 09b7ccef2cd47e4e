//! Secrets, given as a value, `{env="NAME"}` or `{file="PATH"}`; never printed.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use super::{
    error::Problem,
    tree::{Node, Origin, Value},
    value::Read,
};

/// A secret text; `Debug` shows `[redacted]`.
#[derive(Clone)]
pub struct Secret(secrecy::SecretString);

impl Secret {
    /// Takes a text as a secret.
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        secrecy::ExposeSecret::expose_secret(&self.0)
    }
}

impl PartialEq for Secret {
    /// To find out whether a setting changed; not for what somebody else sent.
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Reads a value, `{env = "NAME"}` or `{file = "PATH"}`. No refusal repeats any text of the secret.
pub(super) fn read(
    node: &Node,
    folder: &Path,
    environment: &BTreeMap<String, String>,
) -> Read<Secret> {
    let text = match (&node.value, &node.origin) {
        (Value::Text(text), _) => text.clone(),
        // Who may write rows may not read the server's files and variables by that.
        (_, Origin::Row) => return Err(Problem::new("expected a text")),
        (Value::Table(table), _) => match table.iter().next() {
            Some((
                kind,
                Node {
                    value: Value::Text(name),
                    ..
                },
            )) if table.len() == 1 => match kind.as_str() {
                "env" => from_environment(name, environment)?,
                "file" => from_file(&folder.join(name))?,
                _ => return Err(expected()),
            },
            _ => return Err(expected()),
        },
        (_, Origin::Environment { raw, .. }) => raw.clone(),
        _ => return Err(expected()),
    };
    if text.is_empty() {
        return Err(Problem::new("a secret must not be empty"));
    }
    Ok(Secret::new(text))
}

fn expected() -> Problem {
    Problem::new("expected a text, { env = \"NAME\" } or { file = \"PATH\" }")
}

fn from_environment(name: &str, environment: &BTreeMap<String, String>) -> Read<String> {
    let missing = || Problem::new(format!("environment variable `{name}` is not set"));
    environment.get(name).cloned().ok_or_else(missing)
}

/// One line break at the end is the editor's, not the secret's.
fn from_file(path: &Path) -> Read<String> {
    super::section::readable(path)?;
    let wrong = |problem: &dyn std::fmt::Display| {
        Problem::new(format!("cannot read `{}`: {problem}", path.display()))
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
    file.take(FILE_MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(&error))?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(wrong(&"a secret has at most 64 KiB"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
