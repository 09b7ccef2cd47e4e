//! Sessions of browsers: who logged in once, by a password or at an issuer, is known again by a cookie.
//!
//! A session holds who it is, not what they may: that is looked up each time, but for those whom an issuer vouches for,
//! who may what its claims gave them at the login. Nothing is kept here, so a session ends by its time alone; the browser
//! forgets it before.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Caller, Gate, Holder, IdentifyError, Principal, Subject, holder_of};
use crate::config::Secret;

/// Of a user.
const LIFETIME: Duration = Duration::from_hours(8);
/// Of somebody whom an issuer vouches for: it is to say so again.
const LIFETIME_OUTSIDE: Duration = Duration::from_hours(1);

/// A session that has just begun.
pub struct NewSession {
    /// For the browser's cookie.
    pub token: Secret,
    pub lifetime: Duration,
}

/// A session that goes on.
#[derive(Debug, Clone)]
pub struct Session {
    pub caller: Caller,
    /// What changes something must show it.
    pub csrf: String,
    pub until: SystemTime,
}

impl Gate {
    /// A session for somebody who logged in; `None`: not for this one. A machine's token opens none, nor does a token of a
    /// registry.
    pub fn open_session(&self, caller: &Caller) -> Option<NewSession> {
        let Caller::Known(principal) = caller else {
            return None;
        };
        let lifetime = match &principal.subject {
            _ if principal.scope.is_some() => return None,
            Subject::Token(_) => return None,
            Subject::User => LIFETIME,
            Subject::Outside { .. } => LIFETIME_OUTSIDE,
        };
        let (holder, _) = holder_of(principal);
        Some(NewSession {
            token: self.tokens.issue_session(holder, lifetime),
            lifetime,
        })
    }

    /// The session that a cookie is of; `None`: it is over, or never was.
    pub async fn session(&self, token: &str) -> Result<Option<Session>, IdentifyError> {
        let Some(claims) = self.tokens.read_session(token) else {
            return Ok(None);
        };
        let until = claims.until();
        let principal = self.principal(&claims.holder, until).await?;
        Ok(principal.map(|principal| Session {
            caller: Caller::Known(Arc::new(principal)),
            csrf: claims.csrf,
            until,
        }))
    }

    /// Whom something was issued to, as things are now; `None`: nobody who is known, or not any more.
    pub(super) async fn principal(
        &self,
        holder: &Holder,
        until: SystemTime,
    ) -> Result<Option<Principal>, IdentifyError> {
        Ok(match holder {
            Holder::Anonymous | Holder::Visitor { .. } => None,
            Holder::User { name } => self.principals.user(name).await?,
            Holder::Token { id } => match id.parse() {
                Ok(id) => self.principals.by_id(id).await?,
                Err(_) => None,
            },
            Holder::Outside {
                name,
                admin,
                grants,
            } => Some(Principal {
                name: name.clone(),
                is_admin: *admin,
                grants: super::read_grants(grants).unwrap_or_default().into(),
                subject: Subject::Outside {
                    grants: grants.clone().into(),
                    until,
                },
                ..Principal::default()
            }),
        })
    }
}
