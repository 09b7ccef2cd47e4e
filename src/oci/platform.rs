//! Platforms (image-spec, image-index.md): what an index says of a manifest, and what somebody wants of them.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};

use super::Descriptor;

/// What a manifest is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
    pub os_version: Option<String>,
}

impl Platform {
    /// What an index says of one of its manifests; `None` if it says nothing.
    pub fn of(descriptor: &Descriptor) -> Option<Self> {
        Self::read(descriptor.other.get("platform")?.as_object()?)
    }

    /// Of a platform object, or of an image's config, which has the same members.
    pub fn read(members: &Map<String, Value>) -> Option<Self> {
        let text = |key| Some(members.get(key)?.as_str()?.to_owned());
        let platform = Self {
            os: text("os").unwrap_or_default(),
            architecture: text("architecture").unwrap_or_default(),
            variant: text("variant").filter(|text| !text.is_empty()),
            os_version: text("os.version").filter(|text| !text.is_empty()),
        };
        (!platform.os.is_empty() || !platform.architecture.is_empty()).then_some(platform)
    }
}

/// A choice of platforms: each part that is given must agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlatformPattern {
    pub os: Option<String>,
    pub os_version: Option<String>,
    pub architecture: Option<String>,
    pub variant: Option<String>,
}

/// A text that is not `os/arch` or `os/arch/variant`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no platform; expected one such as linux/amd64 or linux/arm/v7")]
pub struct PlatformError(String);

impl PlatformPattern {
    /// Is the platform one of those?
    pub fn matches(&self, platform: &Platform) -> bool {
        let same = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        // The usual variant is often left out.
        let usual = (platform.architecture == "arm64").then_some("v8");
        let variant = platform.variant.as_deref().or(usual).unwrap_or_default();
        let version = platform.os_version.as_deref().unwrap_or_default();
        same(&self.os, &platform.os)
            && same(&self.architecture, &platform.architecture)
            && same(&self.variant, variant)
            && same(&self.os_version, version)
    }
}

impl FromStr for PlatformPattern {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let wrong = || PlatformError(super::shortened(text));
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(wrong());
        }
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err(wrong()),
        };
        Ok(Self {
            os: Some(os.to_owned()),
            os_version: None,
            architecture: Some(architecture.to_owned()),
            variant,
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let pattern: PlatformPattern = text.parse().unwrap();
        Platform {
            os: pattern.os.unwrap(),
            architecture: pattern.architecture.unwrap(),
            variant: pattern.variant,
            os_version: None,
        }
    }

    #[test]
    fn a_pattern_without_a_variant_takes_every_variant() {
        for (pattern, found, expected) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "windows/amd64", false),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
        ] {
            let wanted: PlatformPattern = pattern.parse().unwrap();
            assert_eq!(
                wanted.matches(&platform(found)),
                expected,
                "{pattern} {found}"
            );
        }
    }

    #[test]
    fn what_is_no_platform_is_refused() {
        for text in ["linux", "linux/", "/amd64", "a/b/c/d", ""] {
            assert!(text.parse::<PlatformPattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_platform_that_says_nothing_is_none() {
        let read = |json: &str| Platform::read(&serde_json::from_str(json).unwrap());
        assert_eq!(read("{}"), None);
        assert_eq!(
            read(r#"{"os":"linux","architecture":"arm","variant":"v7"}"#)
                .unwrap()
                .to_string(),
            "linux/arm/v7"
        );
    }
}
