//! Images as people write them for any registry: `host/name:tag`, with Docker's short names.

use std::{fmt, str::FromStr};

use crate::oci::{Digest, Name, Reference, Tag};

const DOCKER_HUB: &str = "docker.io";

/// A repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Host, and port if there is one. Docker Hub is `docker.io`.
    pub registry: String,
    pub name: Name,
}

/// A repository, with a tag or a digest if one is said. A digest beside a tag decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub place: Place,
    pub reference: Option<Reference>,
}

/// Why a text is no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no image: {why}")]
pub struct ImageError {
    pub text: String,
    pub why: String,
}

impl FromStr for Place {
    type Err = ImageError;

    /// The first component is the registry if it looks like a host; else the image is one of Docker Hub.
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let (registry, rest) = match text.split_once('/') {
            Some((host, rest)) if is_host(host) => (host, rest),
            _ => (DOCKER_HUB, text),
        };
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
            other => other,
        };
        let name = if registry == DOCKER_HUB && !rest.contains('/') {
            format!("library/{rest}")
        } else {
            rest.to_owned()
        };
        Ok(Self {
            registry: registry.to_owned(),
            name: name.parse().map_err(|error| wrong(text, &error))?,
        })
    }
}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (place, tag) = split_tag(rest);
        let tag = tag.map(str::parse::<Tag>).transpose();
        let tag = tag.map_err(|error| wrong(text, &error))?;
        let digest = digest.map(str::parse::<Digest>).transpose();
        let digest = digest.map_err(|error| wrong(text, &error))?;
        let place = place.parse::<Place>();
        Ok(Self {
            place: place.map_err(|error| wrong(text, &error.why))?,
            reference: digest.map(Reference::Digest).or(tag.map(Reference::Tag)),
        })
    }
}

/// What is before the colon after the last slash, and what is behind it.
pub(super) fn split_tag(text: &str) -> (&str, Option<&str>) {
    let last = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[last..].find(':') {
        Some(colon) => (&text[..last + colon], Some(&text[last + colon + 1..])),
        None => (text, None),
    }
}

/// Docker's rule: a dot, a colon, or `localhost`.
fn is_host(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost"
}

fn wrong(text: &str, why: &dyn fmt::Display) -> ImageError {
    ImageError {
        text: text.chars().take(300).collect(),
        why: why.to_string(),
    }
}

impl Place {
    /// The repository that blobs can be mounted from when both are in one registry.
    pub fn mount_for(&self, other: &Self) -> Option<Name> {
        (self.registry == other.registry && self.name != other.name).then(|| self.name.clone())
    }

    /// Written with a tag or digest.
    pub fn with(&self, reference: &Reference) -> String {
        match reference {
            Reference::Tag(tag) => format!("{self}:{tag}"),
            Reference::Digest(digest) => format!("{self}@{digest}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Some(reference) => f.write_str(&self.place.with(reference)),
            None => self.place.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String, String> {
        let image = text.parse::<Image>();
        image
            .map(|image| image.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn short_names_are_docker_hubs() {
        for (text, expected) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("user/app:1", "docker.io/user/app:1"),
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("index.docker.io/nginx", "docker.io/library/nginx"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/a/b/c/d:x", "localhost:5000/a/b/c/d:x"),
            ("ghcr.io/a/b", "ghcr.io/a/b"),
        ] {
            assert_eq!(written(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_digest_beats_a_tag() {
        let digest = Digest::sha256(b"");
        let text = format!("ghcr.io/a/b:1@{digest}");
        assert_eq!(written(&text), Ok(format!("ghcr.io/a/b@{digest}")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("ghcr.io/UPPER", "not a repository name"),
            ("ghcr.io/a:.1", "not a tag"),
            ("ghcr.io/a@sha256:00", "algorithm:hex"),
            ("ghcr.io/", "not a repository name"),
            ("", "not a repository name"),
        ] {
            let refused = written(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
