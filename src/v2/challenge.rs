//! What a 401 asks for: a token, from where, for what (distribution, "Token Authentication Specification").
//!
//! ```text
//! WWW-Authenticate: Bearer realm="https://HOST/token",service="entrepot",scope="repository:NAME:pull"
//! ```

use axum::response::Response;
use http::{HeaderValue, StatusCode, header, request};

use super::{
    Edge,
    endpoint::{Endpoint, Query},
    error::ApiError,
};
use crate::access::{Right, SERVICE, scope_text};

/// Where tokens are had.
pub(super) const TOKEN_PATH: &str = "/token";

impl Edge {
    /// The answer to a request that failed; a 401 with its challenge.
    pub(super) fn refuse(
        &self,
        error: ApiError,
        request: &request::Parts,
        query: &Query,
    ) -> Response {
        let token_error = error.token_error();
        let mut response = error.into_response();
        if response.status() == StatusCode::UNAUTHORIZED {
            let scope = self.scope(request, query);
            let challenge = self.challenge(request, scope.as_deref(), token_error);
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    fn challenge(
        &self,
        request: &request::Parts,
        scope: Option<&str>,
        token_error: Option<&str>,
    ) -> HeaderValue {
        let realm = self.parts.site.url(request);
        let mut text = format!("Bearer realm=\"{realm}{TOKEN_PATH}\",service=\"{SERVICE}\"");
        for (key, value) in [("scope", scope), ("error", token_error)] {
            if let Some(value) = value {
                text.extend([",", key, "=\"", value, "\""]);
            }
        }
        HeaderValue::try_from(text).expect("authorities, names and words are visible ASCII")
    }

    /// What a token for this request would be for.
    fn scope(&self, request: &request::Parts, query: &Query) -> Option<String> {
        let endpoint = Endpoint::parse(&request.method, request.uri.path(), query).ok()?;
        let ns = self.foreign_ns(query.ns.as_deref(), &request.uri, &request.headers);
        match endpoint {
            Endpoint::Base => None,
            Endpoint::Catalog(_) => Some("registry:catalog:*".to_owned()),
            Endpoint::Pull { name, .. } => {
                // By its local name, which needs no `ns` when it comes back.
                let located = self.parts.mirror.locate(&name, ns);
                let name = located.map_or(name, |located| located.name);
                Some(scope_text(&name, Right::Pull))
            }
            Endpoint::Push { name, .. } => Some(scope_text(&name, Right::Push)),
            Endpoint::Delete { name, .. } => Some(scope_text(&name, Right::Delete)),
        }
    }
}
