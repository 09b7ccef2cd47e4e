//! Names and passwords: whose they are, once the throttle lets them be looked at.
//!
//! 1. A machine's secret is found by its hash, and must come with its own name.
//! 2. A password that was right a moment ago, against the same kept hash, is right again.
//! 3. Else the throttle is asked, then a turn is waited for, then the throttle is asked again: what failed meanwhile counts.
//! 4. The password is checked; also that of nobody, so that the time tells nothing.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{constant_time, digest, hmac, rand::SystemRandom};
use moka::future::Cache;

use super::{
    IdentifyError, Principal, Source, machine_token,
    password::Hasher,
    principals::{ADMIN, Principals},
    throttle::Throttle,
};
use crate::config::Secret;

const VERIFIED: u64 = 10_000;
/// As long a right password need not be checked again.
const VERIFIED_FOR: Duration = Duration::from_secs(10 * 60);

/// The first admin's password.
#[derive(Debug, Clone)]
pub struct AdminPassword {
    pub password: Secret,
    /// By the configuration, and not to be changed here. Else it was made, and is that of the admin until another is set.
    pub is_configured: bool,
}

/// Whose name and password it is.
pub(super) enum Login {
    Known(Principal),
    /// Nobody here has this name.
    Stranger,
}

/// Checks names and passwords.
pub(super) struct Logins {
    principals: Arc<Principals>,
    admin: Option<AdminPassword>,
    hasher: Arc<Hasher>,
    throttle: Throttle,
    /// Keyed hash of name and password → hash of the kept hash that it was right against.
    verified: Cache<[u8; 32], [u8; 32]>,
    key: hmac::Key,
}

/// What a password is held against.
enum Kept {
    /// The text itself.
    Text(Secret),
    Hash(Secret),
    /// Nobody can log in by this name.
    Nothing,
}

impl Logins {
    pub(super) fn new(
        principals: Arc<Principals>,
        admin: Option<AdminPassword>,
        hasher: Arc<Hasher>,
    ) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self {
            principals,
            admin,
            hasher,
            throttle: Throttle::new(),
            verified: Cache::builder()
                .max_capacity(VERIFIED)
                .time_to_live(VERIFIED_FOR)
                .build(),
            key: key.expect("the system gives random bytes"),
        }
    }

    /// Who has this name and this password. A name that nobody has is refused like a wrong password, unless strangers are
    /// welcome.
    pub(super) async fn check(
        &self,
        name: &str,
        password: &str,
        source: Source,
        strangers: Strangers,
    ) -> Result<Login, IdentifyError> {
        if machine_token::is_secret(password) {
            return self.machine(Some(name), password, source).await;
        }
        let kept = self.kept(name).await?;
        if kept.is_none() && strangers == Strangers::Welcome {
            self.not_slowed(source, name).await?;
            return Ok(Login::Stranger);
        }
        let is_right = match kept.unwrap_or(Kept::Nothing) {
            Kept::Text(text) => {
                self.not_slowed(source, name).await?;
                same(text.expose(), password)
            }
            Kept::Hash(hash) => self.is_right(name, password, Some(&hash), source).await?,
            Kept::Nothing => self.is_right(name, password, None, source).await?,
        };
        let user = if is_right {
            self.principals.user(name).await?
        } else {
            None
        };
        self.outcome(user, source, name).await
    }

    /// Whose secret it is; `name` is the user name that came with it, if one did.
    pub(super) async fn machine(
        &self,
        name: Option<&str>,
        secret: &str,
        source: Source,
    ) -> Result<Login, IdentifyError> {
        let throttled = name.unwrap_or_default();
        let found = self
            .principals
            .by_secret(&machine_token::hash(secret))
            .await?;
        let found = found.filter(|found| name.is_none_or(|name| name == found.name));
        if found.is_none() {
            self.not_slowed(source, throttled).await?;
        }
        self.outcome(found, source, throttled).await
    }

    /// Notes a wrong password that was found out elsewhere.
    pub(super) async fn failed(&self, name: &str, source: Source) {
        self.throttle.failed(source, name).await;
    }

    async fn outcome(
        &self,
        found: Option<Principal>,
        source: Source,
        name: &str,
    ) -> Result<Login, IdentifyError> {
        if let Some(found) = found {
            self.throttle.succeeded(source, name).await;
            return Ok(Login::Known(found));
        }
        let times = self.throttle.failed(source, name).await;
        Err(IdentifyError::Wrong { times })
    }

    async fn is_right(
        &self,
        name: &str,
        password: &str,
        kept: Option<&Secret>,
        source: Source,
    ) -> Result<bool, IdentifyError> {
        let key = self.keyed(name, password);
        let against = kept.map(|kept| sha256(kept.expose()));
        if against.is_some() && self.verified.get(&key).await == against {
            return Ok(true);
        }
        self.not_slowed(source, name).await?;
        let turn = self.hasher.turn().await?;
        self.not_slowed(source, name).await?;
        let is_right = turn.matches(password, kept).await;
        if let (true, Some(against)) = (is_right, against) {
            self.verified.insert(key, against).await;
        }
        Ok(is_right)
    }

    async fn not_slowed(&self, source: Source, name: &str) -> Result<(), IdentifyError> {
        match self.throttle.wait(source, name).await {
            Some(retry_after) => Err(IdentifyError::Slowed { retry_after }),
            None => Ok(()),
        }
    }

    /// `None`: nobody has this name.
    async fn kept(&self, name: &str) -> Result<Option<Kept>, IdentifyError> {
        let admin = self.admin.as_ref().filter(|_| name == ADMIN);
        if let Some(admin) = admin
            && admin.is_configured
        {
            return Ok(Some(Kept::Text(admin.password.clone())));
        }
        let row = self.principals.account(name).await?;
        let set = row.as_ref().and_then(|row| row.password.clone());
        Ok(match (set, admin) {
            (Some(hash), _) => Some(Kept::Hash(hash)),
            (None, Some(made)) => Some(Kept::Text(made.password.clone())),
            (None, None) => (row.is_some() || name == ADMIN).then_some(Kept::Nothing),
        })
    }

    fn keyed(&self, name: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(name.as_bytes());
        context.update(&[0]);
        context.update(password.as_bytes());
        let tag = context.sign();
        tag.as_ref().try_into().expect("SHA-256 makes 32 bytes")
    }
}

/// What becomes of names that nobody here has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strangers {
    /// A remote may know them.
    Welcome,
    Refused,
}

fn sha256(text: &str) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 makes 32 bytes")
}

/// In a time that does not depend on where they differ.
fn same(left: &str, right: &str) -> bool {
    constant_time::verify_slices_are_equal(&sha256(left), &sha256(right)).is_ok()
}
