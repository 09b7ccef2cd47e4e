//! Digests as registries write them, for images and for what clients received.

use sha2::{Digest as _, Sha256, Sha512};

/// The two registered algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Algorithm {
    #[default]
    Sha256,
    Sha512,
}

/// `sha256:<hex>` of the bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest_of(Algorithm::Sha256, bytes)
}

/// `<algorithm>:<hex>` of the bytes.
pub(crate) fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> String {
    match algorithm {
        Algorithm::Sha256 => format!("sha256:{}", hex::encode(Sha256::digest(bytes))),
        Algorithm::Sha512 => format!("sha512:{}", hex::encode(Sha512::digest(bytes))),
    }
}
