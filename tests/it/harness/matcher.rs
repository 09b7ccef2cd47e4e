//! `On`: which requests a fault, a hold, a count or a wait is about.

use std::fmt;

use http::Method;

use super::recorder::Recorded;
use super::request::{Kind, Request};

/// A filter over requests; every condition that was set must hold.
#[derive(Clone, Default)]
pub(crate) struct On {
    kind: Option<Kind>,
    method: Option<Method>,
    repository: Option<String>,
    reference: Option<String>,
    ranged: Option<bool>,
    header: Option<(String, Option<String>)>,
    statuses: Vec<u16>,
}

// === impl On ===

impl On {
    pub(crate) fn any() -> Self {
        Self::default()
    }

    pub(crate) fn manifest() -> Self {
        Self::kind(Kind::Manifest)
    }

    /// Blobs at the registry itself, which may answer with a redirect.
    pub(crate) fn blob() -> Self {
        Self::kind(Kind::Blob)
    }

    /// Blobs at the host that redirects lead to.
    pub(crate) fn cdn() -> Self {
        Self::kind(Kind::Cdn)
    }

    pub(crate) fn tags() -> Self {
        Self::kind(Kind::Tags)
    }

    pub(crate) fn referrers() -> Self {
        Self::kind(Kind::Referrers)
    }

    pub(crate) fn token() -> Self {
        Self::kind(Kind::Token)
    }

    pub(crate) fn base() -> Self {
        Self::kind(Kind::Base)
    }

    pub(crate) fn kind(kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            ..Self::default()
        }
    }

    pub(crate) fn get(self) -> Self {
        self.method(Method::GET)
    }

    pub(crate) fn head(self) -> Self {
        self.method(Method::HEAD)
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    pub(crate) fn repository(mut self, repository: &str) -> Self {
        self.repository = Some(repository.to_owned());
        self
    }

    /// The tag or digest in the path.
    pub(crate) fn reference(mut self, reference: &str) -> Self {
        self.reference = Some(reference.to_owned());
        self
    }

    /// Only requests that carry `Range`.
    pub(crate) fn ranged(mut self) -> Self {
        self.ranged = Some(true);
        self
    }

    /// Only requests without `Range`.
    pub(crate) fn unranged(mut self) -> Self {
        self.ranged = Some(false);
        self
    }

    /// Only requests that carry this header, whatever its value.
    pub(crate) fn with_header(mut self, name: &str) -> Self {
        self.header = Some((name.to_owned(), None));
        self
    }

    /// Only requests where this header has this value.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.header = Some((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Only requests that got this status; for counts and waits, never for faults and holds.
    pub(crate) fn answered(mut self, status: u16) -> Self {
        self.statuses.push(status);
        self
    }

    /// Only requests that were given content: 200 or 206.
    pub(crate) fn served(self) -> Self {
        self.answered(200).answered(206)
    }

    /// Whether the request meets all conditions that can be told before it is answered.
    pub(super) fn matches(&self, request: &Request) -> bool {
        fn meets<T: PartialEq>(wanted: Option<&T>, given: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == given)
        }
        let header_fits = self.header.as_ref().is_none_or(|(name, wanted)| {
            let Some(value) = request.headers.get(name) else {
                return false;
            };
            wanted
                .as_ref()
                .is_none_or(|wanted| value.as_bytes() == wanted.as_bytes())
        });
        meets(self.kind.as_ref(), &request.kind)
            && meets(self.method.as_ref(), &request.method)
            && meets(self.repository.as_ref(), &request.repository)
            && meets(self.reference.as_ref(), &request.reference)
            && meets(self.ranged.as_ref(), &request.headers.contains_key("range"))
            && header_fits
    }

    pub(super) fn matches_recorded(&self, recorded: &Recorded) -> bool {
        let status_fits = self.statuses.is_empty() || self.statuses.contains(&recorded.status);
        status_fits && self.matches(&recorded.request)
    }
}

impl fmt::Debug for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("On");
        if let Some(kind) = &self.kind {
            out.field("kind", kind);
        }
        if let Some(method) = &self.method {
            out.field("method", method);
        }
        if let Some(repository) = &self.repository {
            out.field("repository", repository);
        }
        if let Some(reference) = &self.reference {
            out.field("reference", reference);
        }
        if let Some(ranged) = &self.ranged {
            out.field("ranged", ranged);
        }
        if let Some(header) = &self.header {
            out.field("header", header);
        }
        if !self.statuses.is_empty() {
            out.field("answered", &self.statuses);
        }
        out.finish()
    }
}
