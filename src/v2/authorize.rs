//! Who asks, and which repository that caller means. A caller who may not see a repository gets the answer that a missing one gets.

use http::{HeaderMap, Uri, header, request};

use super::{Edge, Listener, endpoint::Pull, error::ApiError};
use crate::{
    access::{Caller, Right, Source},
    config::Visibility,
    mirror::{NoEntry, Repository, Visited},
    oci::{Name, Reference, error_code::ErrorCode},
};

impl Edge {
    /// Who sent this request.
    pub(super) async fn caller(&self, request: &request::Parts) -> Result<Caller, ApiError> {
        if self.listener == Listener::MirrorOnly {
            return Ok(Caller::Anonymous);
        }
        let source = request.extensions.get().copied();
        self.parts
            .gate
            .identify(&request.headers, source.unwrap_or(Source::UNKNOWN))
            .await
            .map_err(|error| ApiError::identify(&error))
    }

    /// Are anonymous callers asked to log in?
    pub(super) fn challenges(&self) -> bool {
        self.listener == Listener::Main && self.parts.gate.challenges()
    }

    /// Lets those in who may pull anything at all.
    pub(super) fn admit(&self, caller: &Caller) -> Result<(), ApiError> {
        match self.listener {
            _ if self.parts.gate.admits(caller) => Ok(()),
            Listener::Main => Err(ApiError::unauthorized("log in to pull")),
            Listener::MirrorOnly => Err(ApiError::denied(
                "`access.anonymous_pull` is off, and this listener takes no logins",
            )),
        }
    }

    /// The repository that a pull means.
    pub(super) fn repository(
        &self,
        caller: &Caller,
        name: &Name,
        ns: Option<&str>,
    ) -> Result<Repository, ApiError> {
        let resolved = self.parts.mirror.resolve(name, ns, caller);
        resolved.map_err(|unknown| {
            // A token is for local names; the name as it was asked for is all there is of a repository that is not here.
            let located = self.parts.mirror.locate(name, ns);
            let name = located.map_or_else(|| name.clone(), |located| located.name);
            self.refused(caller, Right::Pull, &name, unknown.into())
        })
    }

    /// The repository, if it is not one that only its remote decides about, or if its remote lets this visitor in.
    pub(super) async fn let_in(
        &self,
        caller: &Caller,
        repository: Repository,
        what: &Pull,
        request: &request::Parts,
    ) -> Result<Repository, ApiError> {
        let (project, name) = (&repository.project, &repository.name);
        let visibility = self.parts.projects.now().visibility_of(project, name);
        let visitor = caller.visitor_of(project, name);
        let Some(visitor) = visitor.filter(|_| visibility == Visibility::Remote) else {
            return Ok(repository);
        };
        let asked = match what {
            Pull::GetManifest(reference) | Pull::HeadManifest(reference) => {
                Visited::Manifest(reference.clone())
            }
            Pull::GetBlob(digest) | Pull::HeadBlob(digest) => Visited::Blob(digest.clone()),
            Pull::ListTags(_) => Visited::Tags,
            Pull::ListReferrers { subject, .. } => {
                Visited::Manifest(Reference::Digest(subject.clone()))
            }
        };
        let unknown = match what {
            Pull::GetBlob(_) | Pull::HeadBlob(_) => ErrorCode::BlobUnknown,
            Pull::ListTags(_) => ErrorCode::NameUnknown,
            _ => ErrorCode::ManifestUnknown,
        };
        let mirror = &self.parts.mirror;
        let entered = Box::pin(mirror.let_in(visitor, repository, &asked)).await;
        match entered {
            Ok(repository) => Ok(repository),
            Err(NoEntry::Refused(error)) => {
                // A guess at the remote's logins, by way of us.
                let source = request.extensions.get().copied();
                let source = source.unwrap_or(Source::UNKNOWN);
                self.parts.gate.visitor_refused(visitor, source).await;
                Err(ApiError::mirror(error, unknown))
            }
            Err(NoEntry::Other(error)) => Err(ApiError::mirror(error, unknown)),
        }
    }

    /// `refusal`, or a challenge for those who might do more after a login, or by another token: the same for what is hidden
    /// and for what is not there.
    pub(super) fn refused(
        &self,
        caller: &Caller,
        right: Right,
        repository: &Name,
        refusal: ApiError,
    ) -> ApiError {
        if caller.is_anonymous() && self.challenges() {
            ApiError::unauthorized(refusal.message().to_owned())
        } else if caller.lacks_scope(right, repository) {
            ApiError::insufficient_scope(refusal.message().to_owned())
        } else {
            refusal
        }
    }

    /// `ns`, unless it names this server itself. What a project claims as its host means that project, also when
    /// clients reach this server by that name.
    pub(super) fn foreign_ns<'q>(
        &self,
        ns: Option<&'q str>,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<&'q str> {
        let asked_host = uri
            .authority()
            .map(http::uri::Authority::as_str)
            .or_else(|| {
                headers
                    .get(header::HOST)
                    .and_then(|host| host.to_str().ok())
            });
        ns.filter(|ns| {
            self.parts.projects.now().of_host(ns).is_some()
                || !asked_host
                    .into_iter()
                    .chain(self.parts.own_hosts.iter().map(String::as_str))
                    .any(|own| own.eq_ignore_ascii_case(ns))
        })
    }
}
