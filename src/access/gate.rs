//! From the headers of a request to a [`Caller`], whether callers are asked to log in at all, and the tokens that they get.

mod session;
mod sign_in;

pub use session::{NewSession, Session};
pub use sign_in::SignedIn;

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};
use moka::future::Cache;

use super::{
    AdminPassword, Caller, Principal, Projects, Scope, SecretKey, Source, Visitor,
    grant::read_grants,
    login::{Login, Logins, Strangers},
    machine_token,
    oidc::{Issuers, OidcError},
    password::{Busy, Hasher},
    principal::Subject,
    principals::Principals,
    registry_token::{Claims, Holder, IssuedToken, RegistryTokens},
};
use crate::{
    config::{Access, Challenge},
    meta::{AuditEntry, Meta, MetaError},
};

/// Who logged in from where, so that each request is not a login.
const SEEN: u64 = 10_000;
const SEEN_FOR: Duration = Duration::from_secs(10 * 60);
/// How soon a user that another replica made is noticed, as far as it changes whether anybody is asked to log in.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a gate is made of.
pub struct GateParts<'p> {
    pub access: &'p Access,
    /// For asking issuers for their keys.
    pub issuer_tls: rustls::ClientConfig,
    /// The admin's; without one there is no admin.
    pub admin_password: Option<AdminPassword>,
    pub projects: Projects,
    pub meta: Meta,
    pub secret_key: Arc<SecretKey>,
}

/// Who is let in, and as whom.
pub struct Gate {
    challenge: Challenge,
    anonymous_pull: bool,
    projects: Projects,
    meta: Meta,
    principals: Arc<Principals>,
    logins: Logins,
    tokens: RegistryTokens,
    issuers: Issuers,
    secret_key: Arc<SecretKey>,
    /// Is there anybody besides the first admin?
    are_more: AtomicBool,
    looked: Cache<(), ()>,
    seen: Cache<(String, Source), ()>,
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error(transparent)]
    Meta(#[from] MetaError),
    #[error("cannot prepare to ask issuers: {0}")]
    Issuers(#[from] reqwest::Error),
}

/// Why nobody knows who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// Credentials were sent, and they are not right: so many times now, from there and for this name.
    #[error("the user name or the password is wrong")]
    Wrong { times: u32 },
    /// A token was sent that is not ours, or no longer good.
    #[error("the token is not valid, or not any more")]
    BadToken,
    /// There were too many wrong ones.
    #[error("too many wrong passwords; wait before the next one")]
    Slowed { retry_after: Duration },
    #[error(transparent)]
    Busy(#[from] Busy),
    /// A token of a trusted issuer was sent, and the issuer cannot be asked.
    #[error("the issuer of the token cannot be asked now")]
    NoIssuer,
    #[error("users cannot be read now")]
    Unavailable(#[from] MetaError),
}

/// What somebody showed.
enum Shown {
    Nothing,
    Password { name: String, password: String },
    Bearer(String),
}

impl Gate {
    /// With the key for tokens that the database keeps, made if need be.
    pub async fn open(parts: GateParts<'_>) -> Result<Self, GateError> {
        let GateParts {
            access,
            issuer_tls,
            admin_password,
            projects,
            meta,
            secret_key,
        } = parts;
        let principals = Arc::new(Principals::new(meta.clone()));
        let hasher = Arc::new(Hasher::new());
        Ok(Self {
            challenge: access.challenge,
            anonymous_pull: access.anonymous_pull,
            projects,
            tokens: RegistryTokens::open(&meta, Arc::clone(&secret_key), access.token_ttl).await?,
            issuers: Issuers::new(&access.oidc, issuer_tls)?,
            are_more: AtomicBool::new(principals.are_more().await?),
            logins: Logins::new(Arc::clone(&principals), admin_password, hasher),
            meta,
            principals,
            secret_key,
            looked: Cache::builder().time_to_live(LOOK_EVERY).build(),
            seen: Cache::builder()
                .max_capacity(SEEN)
                .time_to_live(SEEN_FOR)
                .build(),
        })
    }

    /// Who sent these headers, from where.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        source: Source,
    ) -> Result<Caller, IdentifyError> {
        self.look_for_others().await;
        match shown(headers)? {
            Shown::Nothing => Ok(Caller::Anonymous),
            // Boxed: what most requests do not walk shall not make their futures large.
            Shown::Password { name, password } => {
                Box::pin(self.login(&name, &password, source)).await
            }
            Shown::Bearer(token) => Box::pin(self.bearer(&token, source)).await,
        }
    }

    /// Who has this name and this password. Nothing at all is nobody.
    pub async fn login(
        &self,
        name: &str,
        password: &str,
        source: Source,
    ) -> Result<Caller, IdentifyError> {
        if name.is_empty() && password.is_empty() {
            return Ok(Caller::Anonymous);
        }
        if let Some(outside) = self.outside(password, source).await {
            return outside;
        }
        let strangers = if self.projects.now().asks_remotes() {
            Strangers::Welcome
        } else {
            Strangers::Refused
        };
        let login = self.logins.check(name, password, source, strangers).await;
        self.admitted(login, name, password, source).await
    }

    /// Whose token it is: one of ours, or a machine's secret.
    pub async fn bearer(&self, token: &str, source: Source) -> Result<Caller, IdentifyError> {
        if machine_token::is_secret(token) {
            let login = self.logins.machine(None, token, source).await;
            return self.admitted(login, "", "", source).await;
        }
        if let Some(claims) = self.tokens.read(token).await {
            return self.holder(&claims).await?.ok_or(IdentifyError::BadToken);
        }
        let outside = self.outside(token, source).await;
        outside.unwrap_or(Err(IdentifyError::BadToken))
    }

    /// Whom a trusted issuer's token stands for; `None`: it is none.
    async fn outside(&self, token: &str, source: Source) -> Option<Result<Caller, IdentifyError>> {
        match self.issuers.principal(token).await? {
            Ok(principal) => {
                self.note_login(&principal.name, source).await;
                Some(Ok(Caller::Known(Arc::new(principal))))
            }
            Err(error @ OidcError::Unavailable { .. }) => {
                tracing::error!(%error, cause = error.source().map(tracing::field::display), "{error}");
                Some(Err(IdentifyError::NoIssuer))
            }
            Err(error) => {
                tracing::info!(%source, %error, "a token of a trusted issuer is not valid: {error}");
                Some(Err(IdentifyError::BadToken))
            }
        }
    }

    async fn admitted(
        &self,
        login: Result<Login, IdentifyError>,
        name: &str,
        password: &str,
        source: Source,
    ) -> Result<Caller, IdentifyError> {
        match login {
            Ok(Login::Known(principal)) => {
                self.note_login(&principal.name, source).await;
                Ok(Caller::Known(Arc::new(principal)))
            }
            Ok(Login::Stranger) => {
                let visitor = self.tokens.visitor(name, password, None);
                Ok(Caller::Visitor(Arc::new(visitor)))
            }
            Err(error) => {
                self.note_failure(&error, name, source).await;
                Err(error)
            }
        }
    }

    /// The holder of a token, as things are now.
    async fn holder(&self, claims: &Claims) -> Result<Option<Caller>, IdentifyError> {
        let principal = match &claims.holder {
            Holder::Anonymous => return Ok(Some(Caller::Anonymous)),
            Holder::Visitor { sealed } => {
                let visitor = self.tokens.unseal(sealed, claims.scope());
                return Ok(visitor.map(|visitor| Caller::Visitor(Arc::new(visitor))));
            }
            known => self.principal(known, claims.until()).await?,
        };
        let scope = Some(claims.scope());
        let is_for_catalog = claims.is_for_catalog();
        Ok(principal.map(|principal| {
            Caller::Known(Arc::new(Principal {
                scope,
                is_for_catalog,
                ..principal
            }))
        }))
    }

    /// A token by which this caller is known again, for these repositories. What is asked is not what is allowed: that is
    /// looked up when the token is used.
    pub fn issue(&self, caller: &Caller, scope: &[Scope], catalog: bool) -> IssuedToken {
        let (holder, until) = match caller {
            Caller::Anonymous => (Holder::Anonymous, None),
            Caller::Visitor(visitor) => {
                let sealed = self.tokens.seal(visitor);
                (Holder::Visitor { sealed }, None)
            }
            Caller::Known(principal) => holder_of(principal),
        };
        self.tokens.issue(holder, scope, catalog, until)
    }

    /// A remote did not know this visitor: it counts like a wrong password.
    pub async fn visitor_refused(&self, visitor: &Visitor, source: Source) {
        self.logins.failed(&visitor.username, source).await;
    }

    /// Is an anonymous caller asked to log in?
    pub fn challenges(&self) -> bool {
        match self.challenge {
            Challenge::Always => true,
            Challenge::Auto => {
                !self.anonymous_pull
                    || self.projects.now().needs_login()
                    || self.are_more.load(Ordering::Relaxed)
            }
            Challenge::Never => false,
        }
    }

    /// Are public projects open to everybody?
    pub fn allows_anonymous_pull(&self) -> bool {
        self.anonymous_pull
    }

    /// May this caller pull anything at all?
    pub fn admits(&self, caller: &Caller) -> bool {
        !caller.is_anonymous() || self.anonymous_pull
    }

    /// Notices now and then, before an answer depends on it, whether there is anybody besides the first admin.
    async fn look_for_others(&self) {
        let look = async {
            match self.principals.are_more().await {
                Ok(are_more) => self.are_more.store(are_more, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "cannot see whether there are users: {error}"),
            }
        };
        self.looked.get_with((), look).await;
    }

    async fn note_login(&self, name: &str, source: Source) {
        let note = self.audit(name, source, "done");
        self.seen.get_with((name.to_owned(), source), note).await;
    }

    /// The first failure is noted, then the second, the fourth, …: a flood of them does not fill the database.
    async fn note_failure(&self, error: &IdentifyError, name: &str, source: Source) {
        if let IdentifyError::Wrong { times } = error
            && times.is_power_of_two()
        {
            self.audit(name, source, "wrong").await;
        }
    }

    async fn audit(&self, name: &str, source: Source, outcome: &str) {
        let entry = AuditEntry {
            at: SystemTime::now(),
            principal: shortened(name).to_owned(),
            source: Some(source.to_string()),
            action: "login".to_owned(),
            subject: String::new(),
            outcome: outcome.to_owned(),
            detail: None,
        };
        if let Err(error) = self.meta.audit(entry).await {
            tracing::warn!(%error, "a login could not be noted: {error}");
        }
    }
}

fn holder_of(principal: &Principal) -> (Holder, Option<SystemTime>) {
    let name = principal.name.clone();
    match &principal.subject {
        Subject::User => (Holder::User { name }, None),
        Subject::Token(id) => (Holder::Token { id: id.to_string() }, None),
        Subject::Outside { grants, until } => {
            let outside = Holder::Outside {
                name,
                admin: principal.is_admin,
                grants: grants.to_vec(),
            };
            (outside, Some(*until))
        }
    }
}

/// A name that somebody typed, as far as the audit keeps it.
fn shortened(name: &str) -> &str {
    const MAX_BYTES: usize = 128;
    &name[..name.floor_char_boundary(MAX_BYTES)]
}

fn shown(headers: &HeaderMap) -> Result<Shown, IdentifyError> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return Ok(Shown::Nothing);
    };
    let wrong = || IdentifyError::Wrong { times: 0 };
    let text = authorization.to_str().map_err(|_| wrong())?;
    let (scheme, value) = text.split_once(' ').ok_or_else(wrong)?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Shown::Bearer(value.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    // RFC 7617
    let decoded = BASE64_STANDARD.decode(value).map_err(|_| wrong())?;
    let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
    let (name, password) = decoded.split_once(':').ok_or_else(wrong)?;
    Ok(Shown::Password {
        name: name.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests;
