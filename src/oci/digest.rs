//! `algorithm:hex` identifiers of content, and the hasher that makes them (image-spec, descriptor.md, "Digests").

use std::{fmt, str::FromStr};

/// A digest algorithm that this server can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub fn as_str(self) -> &'static str {
        todo!()
    }
    /// A fresh hasher of this algorithm.
    pub fn hasher(self) -> Hasher {
        todo!()
    }
    /// The digest of bytes that are all in memory.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        todo!()
    }
}

/// A validated digest; cheap to clone (the hex is shared).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: std::sync::Arc<str>,
}

impl Digest {
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    /// Lower-case hexadecimal, 64 or 128 characters.
    pub fn hex(&self) -> &str {
        &self.hex
    }
    /// Shorthand for `Algorithm::Sha256.digest(bytes)`.
    pub fn sha256(bytes: &[u8]) -> Self {
        todo!()
    }
    /// True when `bytes` have this digest.
    pub fn verifies(&self, bytes: &[u8]) -> bool {
        todo!()
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("not of the form algorithm:hex")]
    Malformed,
    #[error("algorithm `{0}` is not supported; sha256 and sha512 are")]
    UnsupportedAlgorithm(String),
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(_text: &str) -> Result<Self, DigestError> {
        todo!()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A running hash of one algorithm.
#[derive(Clone)]
pub struct Hasher {
    _private: (),
}

impl Hasher {
    pub fn update(&mut self, _bytes: &[u8]) {
        todo!()
    }
    pub fn finish(self) -> Digest {
        todo!()
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
