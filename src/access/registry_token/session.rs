//! Sessions of browsers: tokens of their own kind, signed by the same key, never good for a registry's calls.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, Header, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Holder, RegistryTokens, SERVICE, seconds};
use crate::config::Secret;

const AUDIENCE: &str = "entrepot-console";

/// What a session says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::access) struct SessionClaims {
    iss: String,
    aud: String,
    /// Seconds since 1970.
    exp: u64,
    /// Known to the pages of this server alone: what changes something has to show it.
    pub(in crate::access) csrf: String,
    #[serde(flatten)]
    pub(in crate::access) holder: Holder,
}

impl RegistryTokens {
    pub(in crate::access) fn issue_session(&self, holder: Holder, lifetime: Duration) -> Secret {
        let claims = SessionClaims {
            iss: SERVICE.to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: seconds(SystemTime::now() + lifetime),
            csrf: Uuid::new_v4().simple().to_string(),
            holder,
        };
        let token = encode(&Header::new(Algorithm::ES256), &claims, &self.signing);
        Secret::new(token.expect("the key was read, and claims are JSON"))
    }

    /// What a session says, if it is one of ours and not over.
    pub(in crate::access) fn read_session(&self, token: &str) -> Option<SessionClaims> {
        let mut validation = self.validation.clone();
        validation.set_audience(&[AUDIENCE]);
        let read = decode::<SessionClaims>(token, &self.verifying, &validation);
        Some(read.ok()?.claims)
    }
}

impl SessionClaims {
    pub(in crate::access) fn until(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.exp)
    }
}
