//! The key that seals secrets at rest: of the configuration, or made at the first start and kept in the data folder in a
//! file that only its owner can read.
//!
//! ```text
//! sealed = nonce (12 bytes) ‖ AES-256-GCM(plain; purpose as associated data) ‖ tag (16 bytes)
//! ```

use std::path::Path;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::own_file::{self, OwnFileError};
use crate::config::Secret;

const FILE_NAME: &str = "secrets-key";
const RANDOM_BYTES: usize = 32;
/// A configured key may be any text; this makes 32 bytes of it.
const DERIVATION: &str = "entrepot secrets 1\0";

/// Seals and unseals. What is sealed for one purpose cannot be unsealed for another.
pub struct SecretKey(RandomizedNonceKey);

impl SecretKey {
    /// The configured key, or the one that is kept in this data folder, made if need be. Blocks.
    pub fn open(folder: &Path, configured: Option<&Secret>) -> Result<Self, OwnFileError> {
        if let Some(configured) = configured {
            return Ok(Self::of(configured));
        }
        let path = folder.join(FILE_NAME);
        if let Some(kept) = own_file::read(&path)? {
            return Ok(Self::of(&kept));
        }
        let made = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>());
        own_file::write(&path, &made)?;
        Ok(Self::of(&Secret::new(made)))
    }

    /// The key that this text makes.
    pub fn of(text: &Secret) -> Self {
        let derived = format!("{DERIVATION}{}", text.expose());
        let bytes = digest::digest(&digest::SHA256, derived.as_bytes());
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes.as_ref());
        Self(key.expect("SHA-256 makes 32 bytes"))
    }

    /// Makes this unreadable to who has not the key.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Vec<u8> {
        let mut text = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(purpose), &mut text);
        let nonce = nonce.expect("AES-GCM takes texts up to 64 GiB");
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        sealed
    }

    /// The opposite of [`SecretKey::seal`]; `None`: sealed by another key or for another purpose, or altered.
    pub fn unseal(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(purpose), &mut text);
        Some(plain.ok()?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SecretKey {
        SecretKey::of(&Secret::new(text.to_owned()))
    }

    #[test]
    fn only_the_same_key_unseals_and_only_for_the_same_purpose() {
        let sealed = key("one").seal("remote", b"s3cret");
        assert_eq!(
            key("one").unseal("remote", &sealed).as_deref(),
            Some(&b"s3cret"[..])
        );
        assert_eq!(key("two").unseal("remote", &sealed), None);
        assert_eq!(key("one").unseal("token", &sealed), None);
    }

    #[test]
    fn what_was_altered_or_cut_is_not_unsealed() {
        let key = key("one");
        let sealed = key.seal("remote", b"s3cret");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(key.unseal("remote", &altered), None, "{at}");
            assert_eq!(key.unseal("remote", &sealed[..at]), None, "{at}");
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_the_same_way_twice() {
        let key = key("one");
        assert_ne!(key.seal("remote", b"s3cret"), key.seal("remote", b"s3cret"));
    }

    #[test]
    fn a_key_is_made_once_and_a_configured_one_is_used_instead() {
        let folder = tempfile::tempdir().unwrap();
        let open = |configured| SecretKey::open(folder.path(), configured).unwrap();
        let sealed = open(None).seal("remote", b"s3cret");
        assert!(open(None).unseal("remote", &sealed).is_some());
        let configured = Secret::new("text".to_owned());
        assert_eq!(open(Some(&configured)).unseal("remote", &sealed), None);
    }
}
