//! Rights as they are written on the command line: `team:pull,push`, `team/apps/**:delete`.

use std::{fmt, str::FromStr};

use crate::api::Rights;

/// Rights in the repositories of projects that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RightsText(Rights);

impl FromStr for RightsText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "expected PROJECT[/REPOSITORIES]:RIGHT[,RIGHT…], such as `team:pull,push`";
        let (place, rights) = text.rsplit_once(':').ok_or(EXPECTED)?;
        let (project, repositories) = place.split_once('/').unwrap_or((place, "**"));
        if [project, repositories, rights].contains(&"") {
            return Err(EXPECTED);
        }
        Ok(Self(Rights {
            project: project.to_owned(),
            repositories: repositories.to_owned(),
            rights: split(rights),
        }))
    }
}

impl RightsText {
    /// As the API takes them.
    pub(super) fn all(texts: &[Self]) -> Vec<Rights> {
        texts.iter().map(|text| text.0.clone()).collect()
    }
}

/// Names between commas.
pub(super) fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// As they are written.
pub(super) fn written(rights: &[Rights]) -> String {
    let texts = rights.iter().map(|rights| Written(rights).to_string());
    texts.collect::<Vec<_>>().join(" ")
}

struct Written<'r>(&'r Rights);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.project)?;
        if self.0.repositories != "**" {
            write!(f, "/{}", self.0.repositories)?;
        }
        write!(f, ":{}", self.0.rights.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_written_again() {
        for text in ["team:pull", "team/apps/**:pull,push", "{a,b}-*/x:delete"] {
            let read: RightsText = text.parse().unwrap();
            assert_eq!(written(&RightsText::all(&[read])), text);
        }
        let all: RightsText = "team/**:pull".parse().unwrap();
        assert_eq!(written(&RightsText::all(&[all])), "team:pull");
    }

    #[test]
    fn what_is_incomplete_is_refused() {
        for text in ["", "team", "team:", ":pull", "team/:pull", "/x:pull"] {
            assert!(text.parse::<RightsText>().is_err(), "{text}");
        }
    }
}
