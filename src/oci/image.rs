//! An image as people write it for the cache: on the command line, in lists of the API.

use std::{fmt, str::FromStr};

use super::{Name, Reference};

/// `name:tag`, `name@digest` or `name`, which is `name:latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub name: Name,
    pub reference: Reference,
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, reference) = if let Some((name, digest)) = text.split_once('@') {
            // A tag beside a digest says nothing more.
            (without_tag(name), digest)
        } else {
            let name = without_tag(text);
            let tag = text[name.len()..].strip_prefix(':').unwrap_or("latest");
            (name, tag)
        };
        let first = name.split('/').next().unwrap_or_default();
        if first.contains(':') {
            return Err(format!(
                "leave out `{first}/`: an image begins with its project, as in docker.io/library/nginx:1.27"
            ));
        }
        Ok(Self {
            name: name.parse().map_err(message)?,
            reference: reference.parse().map_err(message)?,
        })
    }
}

/// A colon after the last slash begins a tag.
fn without_tag(text: &str) -> &str {
    let last = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[last..].find(':') {
        Some(colon) => &text[..last + colon],
        None => text,
    }
}

fn message(error: impl fmt::Display) -> String {
    error.to_string()
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        write!(f, "{}{separator}{}", self.name, self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    fn written(text: &str) -> Result<String, String> {
        text.parse::<Image>().map(|image| image.to_string())
    }

    #[test]
    fn an_image_is_a_name_with_a_tag_or_a_digest() {
        let digest = Digest::sha256(b"");
        for (text, expected) in [
            (
                "docker.io/library/nginx:1.27",
                "docker.io/library/nginx:1.27".to_owned(),
            ),
            (
                "docker.io/library/nginx",
                "docker.io/library/nginx:latest".to_owned(),
            ),
            (
                &format!("ghcr.io/a/b@{digest}"),
                format!("ghcr.io/a/b@{digest}"),
            ),
            (
                &format!("ghcr.io/a/b:1@{digest}"),
                format!("ghcr.io/a/b@{digest}"),
            ),
        ] {
            assert_eq!(written(text), Ok(expected));
        }
    }

    #[test]
    fn the_servers_own_address_is_no_part_of_it() {
        let refused = written("127.0.0.1:5000/docker.io/library/nginx:1").unwrap_err();
        assert!(refused.contains("leave out `127.0.0.1:5000/`"), "{refused}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("docker.io/UPPER:1", "not a repository name"),
            ("docker.io/a:.1", "not a tag"),
            ("docker.io/a:", "not a tag"),
            ("docker.io/a@sha256:00", "algorithm:hex"),
            ("", "not a repository name"),
        ] {
            let refused = written(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
