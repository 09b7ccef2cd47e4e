//! What the signatures of Alibaba and Tencent have in common: an access key, and HMAC with SHA-256.

use aws_lc_rs::hmac;
use sha2::{Digest, Sha256};

use crate::config::{self, Secret};

/// An access key, long-lived or of a session.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: Secret,
    /// Goes with keys that end.
    pub(super) session: Option<String>,
}

impl Key {
    pub(super) fn configured(cloud: &config::Cloud) -> Option<Self> {
        cloud.key.as_ref().map(|key| Self {
            id: key.id.clone(),
            secret: key.secret.clone(),
            session: None,
        })
    }

    /// From the values of three variables: id, secret, session token.
    pub(super) fn in_variables([id, secret, session]: [Option<&str>; 3]) -> Option<Self> {
        Some(Self {
            id: id?.to_owned(),
            secret: Secret::new(secret?.to_owned()),
            session: session.map(str::to_owned),
        })
    }
}

pub(super) fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text).as_ref().to_vec()
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
