//! What image-syncer's `images` files say: from where to where. One rule for each source and destination.
//!
//! ```text
//! r.io/p                    all tags             r.io/p@sha256:…    one manifest
//! r.io/p:1                  one tag              r.io/p:/^v1\..*/   the tags that the expression finds
//! r.io/p:1,2                these tags           "" (destination)   the default registry and namespace
//! ```

use regex::Regex;
use serde::Deserialize;

use super::{Image, ImageError, Place, entries::Entries, expand::Variables, image::split_tag};
use crate::oci::{Digest, Reference, Tag, name::NameError, tag::TagError};

/// One line of a file: what is copied where.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As it was written.
    pub text: String,
    pub from: Place,
    pub what: What,
    pub to: Target,
}

/// What of a source is copied.
#[derive(Debug, Clone)]
pub enum What {
    AllTags,
    Tags(Vec<Tag>),
    Matching(Regex),
    Digest(Digest),
}

/// Where it is copied to, and under which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub place: Place,
    /// None: the source's.
    pub tags: Vec<Tag>,
    pub digest: Option<Digest>,
}

/// Where a source goes whose destination is empty.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    pub registry: Option<String>,
    pub namespace: Option<String>,
}

/// Why a line is no rule.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("`{text}`: {source}")]
    Tag {
        text: String,
        #[source]
        source: TagError,
    },
    #[error("`{0}` begins a list of tags without one; expected repository:tag,tag")]
    NoFirstTag(String),
    #[error("`{text}` is no regular expression: {source}")]
    Expression {
        text: String,
        #[source]
        source: Box<regex::Error>,
    },
    #[error("`{0}`: a regular expression ends with `/`")]
    Unclosed(String),
    #[error("an empty source is not supported")]
    EmptySource,
    #[error("empty destination is not supported for source: {0}")]
    EmptyDestination(String),
    #[error("the default registry and namespace should not be nil if you want to use them")]
    Defaults,
    #[error("the default destination of `{text}`: {source}")]
    DefaultName {
        text: String,
        #[source]
        source: NameError,
    },
    #[error("invalid destination for source {0}, destination should only be string or []string")]
    Destination(String),
    #[error("the number of tags of source and destination is not matched: {0}")]
    Count(String),
    #[error("the digest of source and destination must match: {0}")]
    Digest(String),
}

/// The value of a source: one destination or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Destinations {
    One(String),
    Many(Vec<String>),
    Other(serde::de::IgnoredAny),
}

/// All rules of a file, in its order.
pub(super) fn read(
    entries: Entries<Destinations>,
    defaults: &Defaults,
    variables: &Variables,
) -> Result<Vec<Rule>, RuleError> {
    let mut rules = Vec::new();
    for (source, destinations) in entries.0 {
        if source.is_empty() {
            return Err(RuleError::EmptySource);
        }
        let (from, what) = read_source(&source)?;
        for destination in read_destinations(&source, destinations, variables)? {
            let to = match destination.as_str() {
                "" => default_target(&source, &from, defaults)?,
                text => read_target(text)?,
            };
            check(&source, &what, &to)?;
            rules.push(Rule {
                text: source.clone(),
                from: from.clone(),
                what: what.clone(),
                to,
            });
        }
    }
    Ok(rules)
}

/// The destinations without repeats.
fn read_destinations(
    source: &str,
    destinations: Destinations,
    variables: &Variables,
) -> Result<Vec<String>, RuleError> {
    let all = match destinations {
        Destinations::One(one) => vec![one],
        Destinations::Many(many) if many.is_empty() => {
            return Err(RuleError::EmptyDestination(source.to_owned()));
        }
        Destinations::Many(many) => many,
        Destinations::Other(_) => return Err(RuleError::Destination(source.to_owned())),
    };
    let mut found: Vec<String> = Vec::new();
    for text in all {
        let text = variables.expand(&text);
        if !found.contains(&text) {
            found.push(text);
        }
    }
    Ok(found)
}

fn read_source(text: &str) -> Result<(Place, What), RuleError> {
    let plain = match text.parse::<Image>() {
        Ok(image) => {
            let what = match image.reference {
                None => What::AllTags,
                Some(Reference::Tag(tag)) => What::Tags(vec![tag]),
                Some(Reference::Digest(digest)) => What::Digest(digest),
            };
            return Ok((image.place, what));
        }
        Err(error) => error,
    };
    if let Some((place, expression)) = text.split_once(":/") {
        let Some(expression) = expression.strip_suffix('/') else {
            return Err(RuleError::Unclosed(text.to_owned()));
        };
        let expression = Regex::new(expression).map_err(|error| RuleError::Expression {
            text: text.to_owned(),
            source: Box::new(error),
        })?;
        return Ok((place.parse()?, What::Matching(expression)));
    }
    if text.contains(',') {
        let (place, tags) = read_list(text)?;
        return Ok((place, What::Tags(tags)));
    }
    Err(plain.into())
}

fn read_target(text: &str) -> Result<Target, RuleError> {
    if text.contains(',') {
        let (place, tags) = read_list(text)?;
        return Ok(Target {
            place,
            tags,
            digest: None,
        });
    }
    let image: Image = text.parse()?;
    let (tags, digest) = match image.reference {
        None => (vec![], None),
        Some(Reference::Tag(tag)) => (vec![tag], None),
        Some(Reference::Digest(digest)) => (vec![], Some(digest)),
    };
    Ok(Target {
        place: image.place,
        tags,
        digest,
    })
}

/// `repository:tag,tag`
fn read_list(text: &str) -> Result<(Place, Vec<Tag>), RuleError> {
    let (place, Some(tags)) = split_tag(text) else {
        return Err(RuleError::NoFirstTag(text.to_owned()));
    };
    let tags = tags.split(',').map(|tag| {
        tag.parse().map_err(|source| RuleError::Tag {
            text: text.to_owned(),
            source,
        })
    });
    Ok((place.parse()?, tags.collect::<Result<_, _>>()?))
}

/// The default registry and namespace, with what follows the source's own namespace.
fn default_target(text: &str, from: &Place, defaults: &Defaults) -> Result<Target, RuleError> {
    let (registry, namespace) = match (&defaults.registry, &defaults.namespace) {
        (Some(registry), Some(namespace)) => (registry, namespace),
        (None, None) => return Err(RuleError::EmptyDestination(text.to_owned())),
        _ => return Err(RuleError::Defaults),
    };
    let name = from.name.rest().unwrap_or_else(|| from.name.clone());
    let name = name.under(namespace);
    Ok(Target {
        place: Place {
            registry: registry.clone(),
            name: name.map_err(|source| RuleError::DefaultName {
                text: text.to_owned(),
                source,
            })?,
        },
        tags: vec![],
        digest: None,
    })
}

/// What can be known to be wrong before the source's tags are listed.
fn check(source: &str, what: &What, to: &Target) -> Result<(), RuleError> {
    match (what, &to.digest) {
        (What::Digest(from), Some(to)) if from != to => Err(RuleError::Digest(source.to_owned())),
        (What::Digest(_), _) if to.tags.len() > 1 => Err(RuleError::Count(source.to_owned())),
        (What::Digest(_), _) => Ok(()),
        (_, Some(_)) => Err(RuleError::Digest(source.to_owned())),
        (What::Tags(tags), None) => pair(source, tags, &to.tags).map(drop),
        _ => Ok(()),
    }
}

/// Source and destination tags by their places in the lists.
pub(super) fn pair(source: &str, from: &[Tag], to: &[Tag]) -> Result<Vec<(Tag, Tag)>, RuleError> {
    let to = if to.is_empty() { from } else { to };
    if from.len() != to.len() {
        return Err(RuleError::Count(source.to_owned()));
    }
    Ok(from.iter().cloned().zip(to.iter().cloned()).collect())
}

#[cfg(test)]
mod tests;
