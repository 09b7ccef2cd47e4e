//! Hashes of passwords: argon2id, and bcrypt where a password file brought it. A check costs tens of milliseconds and
//! 19 MiB by design, so it runs on blocking threads, few at a time.

use std::{sync::Arc, sync::LazyLock, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::config::Secret;

/// Checks at once: more would only be slower, each of them.
const AT_ONCE: usize = 2;
/// Checks that wait; more of them would wait longer than clients do.
const WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);

/// What passwords of users that are not there are held against, so that an answer takes its time.
static NOBODY: LazyLock<Secret> = LazyLock::new(|| hashed("nobody"));

/// Too many passwords are being checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked; try again")]
pub struct Busy;

/// Where checks take turns.
pub(super) struct Hasher {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// A turn; held until the check has ended, also when nobody waits for it any more.
pub(super) struct Turn {
    _turn: OwnedSemaphorePermit,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        }
    }

    /// Waits for a turn, for a bounded time.
    pub(super) async fn turn(&self) -> Result<Turn, Busy> {
        let _place = self.places.try_acquire().map_err(|_| Busy)?;
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Busy)?.map_err(|_| Busy)?;
        Ok(Turn { _turn: turn })
    }
}

impl Turn {
    /// Is this the password of which `kept` is the hash? Without a hash it never is, after as long a time.
    pub(super) async fn matches(self, password: &str, kept: Option<&Secret>) -> bool {
        let (password, kept) = (Secret::new(password.to_owned()), kept.cloned());
        let check = move || {
            let is_right = verifies(password.expose(), kept.as_ref().unwrap_or(&NOBODY));
            drop(self);
            is_right && kept.is_some()
        };
        // A panic in there is no proof of anything.
        tokio::task::spawn_blocking(check).await.unwrap_or(false)
    }

    /// The hash to keep of a new password.
    pub(super) async fn hash(self, password: &Secret) -> Result<Secret, Busy> {
        let password = password.clone();
        let hash = move || {
            let hash = hashed(password.expose());
            drop(self);
            hash
        };
        tokio::task::spawn_blocking(hash).await.map_err(|_| Busy)
    }
}

/// Is this a hash that can be checked here?
pub(super) fn is_known(kept: &str) -> bool {
    is_bcrypt(kept) || (kept.starts_with("$argon2") && PasswordHash::new(kept).is_ok())
}

fn is_bcrypt(kept: &str) -> bool {
    kept.parse::<bcrypt::HashParts>().is_ok()
}

fn verifies(password: &str, kept: &Secret) -> bool {
    if is_bcrypt(kept.expose()) {
        return bcrypt::verify(password, kept.expose()).unwrap_or(false);
    }
    let verified = Argon2::default().verify_password(password.as_bytes(), kept.expose());
    verified.is_ok()
}

fn hashed(password: &str) -> Secret {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .expect("the default parameters and a fresh salt are valid");
    Secret::new(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn matches(password: &str, kept: Option<&Secret>) -> bool {
        let turn = Hasher::new().turn().await.unwrap();
        turn.matches(password, kept).await
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_alone() {
        let turn = Hasher::new().turn().await.unwrap();
        let kept = turn.hash(&Secret::new("right".to_owned())).await.unwrap();
        assert!(kept.expose().starts_with("$argon2id$"));
        assert!(matches("right", Some(&kept)).await);
        assert!(!matches("wrong", Some(&kept)).await);
        assert!(!matches("", Some(&kept)).await);
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        assert!(!matches("nobody", None).await);
    }

    #[tokio::test]
    async fn hashes_of_password_files_are_checked() {
        // htpasswd -nbB: the password is "secret".
        let kept = bcrypt::hash("secret", 4).unwrap().replace("$2b$", "$2y$");
        assert!(is_known(&kept));
        let kept = Secret::new(kept);
        assert!(matches("secret", Some(&kept)).await);
        assert!(!matches("Secret", Some(&kept)).await);
    }

    #[test]
    fn other_hashes_are_not_known() {
        for other in ["", "secret", "{SHA}x", "$apr1$a$b", "$2y$", "$argon2id$"] {
            assert!(!is_known(other), "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_for_a_turn_is_told() {
        let hasher = Hasher::new();
        let _taken = [hasher.turn().await.unwrap(), hasher.turn().await.unwrap()];
        assert!(hasher.turn().await.is_err());
    }
}
