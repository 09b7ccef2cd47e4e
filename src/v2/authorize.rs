//! Who asks, and which repository that caller means. A caller who may not see a repository gets the answer that a missing one gets.

use http::{HeaderMap, Uri, header, request};

use super::{Edge, Listener, error::ApiError};
use crate::{
    access::{Caller, Right, Source},
    mirror::Repository,
    oci::Name,
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
