//! What machines log in with: long random secrets that are kept as hashes.
//!
//! ```text
//! user name   OWNER+NAME            as in `docker login -u admin+ci`
//! secret      ept_ and 43 characters  256 bits, so that a plain hash is enough
//! ```

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    config::Secret,
    meta::{SecretHash, TokenRow},
};

/// So that leaked ones are recognised.
const PREFIX: &str = "ept_";
const RANDOM_BYTES: usize = 32;
/// Stands in no user's name.
pub(super) const SEPARATOR: char = '+';

/// A new secret.
pub(super) fn new_secret() -> Secret {
    let random = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>());
    Secret::new(format!("{PREFIX}{random}"))
}

/// Could this be one?
pub(super) fn is_secret(text: &str) -> bool {
    let random = text.strip_prefix(PREFIX);
    random.is_some_and(|random| random.len() == (RANDOM_BYTES * 4).div_ceil(3))
}

/// How it is kept and found.
pub(super) fn hash(secret: &str) -> SecretHash {
    let hash = digest::digest(&digest::SHA256, secret.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 makes 32 bytes")
}

/// The user name that goes with it.
pub fn token_username(token: &TokenRow) -> String {
    format!("{}{SEPARATOR}{}", token.owner, token.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_looks_like_one_and_is_no_other() {
        let [one, two] = [new_secret(), new_secret()];
        assert!(is_secret(one.expose()) && is_secret(two.expose()));
        assert_ne!(one.expose(), two.expose());
        assert_ne!(hash(one.expose()), hash(two.expose()));
        for other in ["", "ept_", "ept_short", "password", &one.expose()[1..]] {
            assert!(!is_secret(other), "{other}");
        }
    }
}
