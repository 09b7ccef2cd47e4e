//! Logging in by way of an issuer: `oidc/sign_in.rs`, and a session at its end.

use std::sync::Arc;

use super::{Caller, Gate, NewSession};
use crate::access::{
    Source,
    oidc::{SignIn, SignInError},
};

/// Somebody came back from an issuer.
pub struct SignedIn {
    pub session: NewSession,
    /// A path of this server.
    pub return_to: String,
}

impl Gate {
    /// The issuers at which somebody can log in.
    pub fn issuers(&self) -> Vec<String> {
        self.issuers.names().map(str::to_owned).collect()
    }

    /// Begins a login at an issuer, which sends the browser back to `redirect_uri`; then it goes to `return_to`.
    pub async fn begin_sign_in(
        &self,
        issuer: &str,
        redirect_uri: String,
        return_to: String,
    ) -> Result<SignIn, SignInError> {
        let key = &self.secret_key;
        self.issuers
            .begin(key, issuer, redirect_uri, return_to)
            .await
    }

    /// Completes it with what the browser kept (`pending`) and brings from the issuer.
    pub async fn complete_sign_in(
        &self,
        pending: &str,
        code: &str,
        state: &str,
        source: Source,
    ) -> Result<SignedIn, SignInError> {
        let key = &self.secret_key;
        let signed_in = self.issuers.complete(key, pending, code, state).await?;
        self.note_login(&signed_in.principal.name, source).await;
        let caller = Caller::Known(Arc::new(signed_in.principal));
        let session = self.open_session(&caller);
        Ok(SignedIn {
            session: session.expect("who is vouched for may have a session"),
            return_to: signed_in.return_to,
        })
    }
}
