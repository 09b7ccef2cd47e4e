//! Who asks, and which repository that caller means. A caller who may not see a repository gets the answer that a missing one gets.

use http::{HeaderMap, Uri, header};

use super::{Edge, Listener, error::ApiError};
use crate::{access::Caller, mirror::Repository, oci::Name};

impl Edge {
    /// Who sent these headers.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if self.listener == Listener::MirrorOnly {
            return Ok(Caller::Anonymous);
        }
        let authorization = headers
            .get(header::AUTHORIZATION)
            .map(http::HeaderValue::as_bytes);
        self.parts
            .gate
            .identify(authorization)
            .map_err(|bad| ApiError::unauthorized(bad.to_string()))
    }

    /// Are anonymous callers asked to log in?
    pub(super) fn challenges(&self) -> bool {
        self.listener == Listener::Main && self.parts.gate.challenges()
    }

    /// Lets those in who may pull anything at all.
    pub(super) fn admit(&self, caller: Caller) -> Result<(), ApiError> {
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
        caller: Caller,
        name: &Name,
        ns: Option<&str>,
    ) -> Result<Repository, ApiError> {
        self.parts
            .projects
            .resolve(name, ns, caller)
            .map_err(|unknown| self.hidden(caller, unknown.into()))
    }

    /// `missing`, or a challenge for those who might see more after a login: the same for what is hidden and for what is not there.
    pub(super) fn hidden(&self, caller: Caller, missing: ApiError) -> ApiError {
        if caller == Caller::Anonymous && self.challenges() {
            ApiError::unauthorized(missing.message().to_owned())
        } else {
            missing
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
            self.parts.projects.has_host(ns)
                || !asked_host
                    .into_iter()
                    .chain(self.parts.own_hosts.iter().map(String::as_str))
                    .any(|own| own.eq_ignore_ascii_case(ns))
        })
    }
}
