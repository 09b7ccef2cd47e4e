//! The parameters that some endpoint reads.

use std::{borrow::Cow, str::FromStr};

use super::{EndpointError, MAX_TAGS, NewUpload, PageQuery};
use crate::oci::{Reference, Tag, digest::DigestError};

/// The parameters that some endpoint reads; the first of each name counts (of `tag` all), others are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::v2) struct Query {
    pub(in crate::v2) ns: Option<String>,
    n: Option<String>,
    pub(super) last: Option<String>,
    pub(super) artifact_type: Option<String>,
    pub(super) digest: Option<String>,
    mount: Option<String>,
    from: Option<String>,
    digest_algorithm: Option<String>,
    tags: Vec<String>,
}

impl Query {
    pub(in crate::v2) fn parse(raw: Option<&str>) -> Self {
        let mut query = Self::default();
        for (key, value) in url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            let slot = match key.as_ref() {
                "ns" => &mut query.ns,
                "n" => &mut query.n,
                "last" => &mut query.last,
                "artifactType" => &mut query.artifact_type,
                "digest" => &mut query.digest,
                "mount" => &mut query.mount,
                "from" => &mut query.from,
                "digest-algorithm" => &mut query.digest_algorithm,
                "tag" if query.tags.len() <= MAX_TAGS => {
                    query.tags.push(Cow::into_owned(value));
                    continue;
                }
                _ => continue,
            };
            if slot.is_none() && !value.is_empty() {
                *slot = Some(Cow::into_owned(value));
            }
        }
        query
    }

    pub(super) fn page(&self) -> Result<PageQuery, EndpointError> {
        let n = match &self.n {
            None => None,
            Some(n) if n.bytes().all(|b| b.is_ascii_digit()) => {
                // More than any list has is as good as all of it.
                Some(n.parse().unwrap_or(usize::MAX))
            }
            Some(_) => return Err(EndpointError::PageSize),
        };
        Ok(PageQuery {
            n,
            last: self.last.clone(),
        })
    }
}

impl Query {
    pub(super) fn new_upload(&self) -> Result<NewUpload, EndpointError> {
        Ok(NewUpload {
            digest: parsed("digest", self.digest.as_deref())?,
            mount: parsed("mount", self.mount.as_deref())?,
            from: self.from.as_deref().and_then(|name| name.parse().ok()),
            algorithm: parsed("digest-algorithm", self.digest_algorithm.as_deref())?,
        })
    }

    /// distribution-spec: tags may be given when a manifest is pushed by digest.
    pub(super) fn tags(&self, reference: &Reference) -> Result<Vec<Tag>, EndpointError> {
        let mut tags: Vec<Tag> = Vec::new();
        if let Reference::Tag(_) = reference {
            return Ok(tags);
        }
        if self.tags.len() > MAX_TAGS {
            return Err(EndpointError::TooManyTags);
        }
        for text in &self.tags {
            let tag = text.parse().map_err(EndpointError::Tag)?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }
}

pub(super) fn parsed<T: FromStr<Err = DigestError>>(
    parameter: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, EndpointError> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|source| EndpointError::Digest { parameter, source })
}
