//! Rights as they are written: in rows, in the management API and in the configuration.

use serde::{Deserialize, Serialize};

use super::{Grant, Right};
use crate::config::Pattern;

/// More of them are not read.
const MAX_GRANTS: usize = 1000;

/// A [`Grant`] in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantText {
    /// Pattern on project names.
    pub project: String,
    /// Pattern on repository names without the project.
    #[serde(default = "everything")]
    pub repositories: String,
    /// `pull`, `push`, `delete`, `seed`, `admin`.
    pub rights: Vec<String>,
}

/// What is wrong with a [`GrantText`], and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct GrantError {
    /// Such as `rights[0].project`.
    pub field: String,
    pub problem: String,
}

fn everything() -> String {
    "**".to_owned()
}

/// Reads them all.
///
/// # Errors
/// The first pattern or right that is none, or too many grants.
pub fn read_grants(texts: &[GrantText]) -> Result<Vec<Grant>, GrantError> {
    if texts.len() > MAX_GRANTS {
        return Err(GrantError {
            field: "rights".to_owned(),
            problem: format!("at most {MAX_GRANTS} entries"),
        });
    }
    texts.iter().enumerate().map(read).collect()
}

fn read((index, text): (usize, &GrantText)) -> Result<Grant, GrantError> {
    let error = |key: &str, problem| GrantError {
        field: format!("rights[{index}].{key}"),
        problem,
    };
    let pattern = |key, text: &str| Pattern::parse(text).map_err(|problem| error(key, problem));
    let rights = text.rights.iter().map(|right| right.parse::<Right>());
    let rights: Result<_, _> = rights.collect();
    Ok(Grant {
        project: pattern("project", &text.project)?,
        repositories: pattern("repositories", &text.repositories)?,
        rights: rights.map_err(|unknown| error("rights", unknown.to_string()))?,
    })
}

/// As rows keep them.
pub(super) fn to_json(texts: &[GrantText]) -> String {
    serde_json::to_string(texts).expect("texts are JSON")
}

/// As rows keep them; what this version cannot read gives no right.
pub(super) fn of_json(json: &str, of: &str) -> Vec<GrantText> {
    serde_json::from_str(json).unwrap_or_else(|error| {
        tracing::error!(%error, "the rights of `{of}` cannot be read, so it has none: {error}");
        Vec::new()
    })
}

/// The grants of a row, each by itself: one that cannot be read takes none of the others along.
pub(super) fn grants_of_json(json: &str, of: &str) -> Vec<Grant> {
    let texts = of_json(json, of);
    let grants = texts.iter().enumerate().filter_map(|text| {
        read(text)
            .inspect_err(|error| tracing::error!(%error, "a right of `{of}` cannot be read"))
            .ok()
    });
    grants.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(project: &str, rights: &[&str]) -> GrantText {
        GrantText {
            project: project.to_owned(),
            repositories: everything(),
            rights: rights.iter().map(|&right| right.to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let texts = [text("team", &["pull", "push"])];
        let json = to_json(&texts);
        assert_eq!(of_json(&json, "ci"), texts);
        assert_eq!(grants_of_json(&json, "ci").len(), 1);
    }

    #[test]
    fn repositories_are_all_if_not_said() {
        let text: GrantText = serde_json::from_str(r#"{"project":"p","rights":["pull"]}"#).unwrap();
        assert_eq!(text.repositories, "**");
    }

    #[test]
    fn mistakes_name_their_field() {
        let error = |text| read_grants(&[text]).unwrap_err().field;
        assert_eq!(error(text("[", &[])), "rights[0].project");
        assert_eq!(error(text("team", &["write"])), "rights[0].rights");
    }

    #[test]
    fn a_row_that_cannot_be_read_gives_no_right() {
        assert!(grants_of_json("{", "ci").is_empty());
        let one_bad = r#"[{"project":"[","rights":["pull"]},{"project":"p","rights":["pull"]}]"#;
        assert_eq!(grants_of_json(one_bad, "ci").len(), 1);
    }
}
