//! `algorithm:hex` identifiers of content, and the hasher that makes them (image-spec, descriptor.md, "Digests").

use std::{fmt, str::FromStr, sync::Arc};

use sha2::{
    Digest as _, Sha256, Sha512,
    digest::common::hazmat::{SerializableState, SerializedState},
};

/// A digest algorithm that this server can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            other if is_algorithm(other) => {
                Err(DigestError::UnsupportedAlgorithm(other.to_owned()))
            }
            _ => Err(DigestError::Malformed),
        }
    }
}

impl Algorithm {
    /// The part before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// A fresh hasher of this algorithm.
    pub fn hasher(self) -> Hasher {
        Hasher(match self {
            Self::Sha256 => State::Sha256(Sha256::new()),
            Self::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// The digest of bytes that are all in memory.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A validated digest; cheap to clone (the hex is shared).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: Arc<str>,
}

impl Digest {
    /// The algorithm before the colon.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Lower-case hexadecimal, 64 or 128 characters.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Shorthand for `Algorithm::Sha256.digest(bytes)`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Algorithm::Sha256.digest(bytes)
    }

    /// True when `bytes` have this digest.
    pub fn verifies(&self, bytes: &[u8]) -> bool {
        self.algorithm.digest(bytes) == *self
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

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::Malformed)?;
        let algorithm = match algorithm {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            other if is_algorithm(other) && is_encoded(encoded) => {
                return Err(DigestError::UnsupportedAlgorithm(other.to_owned()));
            }
            _ => return Err(DigestError::Malformed),
        };
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if encoded.len() != algorithm.hex_length() || !encoded.bytes().all(lower_hex) {
            return Err(DigestError::Malformed);
        }
        Ok(Self {
            algorithm,
            hex: encoded.into(),
        })
    }
}

/// Longer than any registered algorithm's name, so that an error cannot carry a long foreign text.
const ALGORITHM_MAX_LENGTH: usize = 64;

// spec: algorithm ::= component ([+._-] component)*, component ::= [a-z0-9]+
fn is_algorithm(text: &str) -> bool {
    let component = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
    };
    text.len() <= ALGORITHM_MAX_LENGTH && text.split(['+', '.', '_', '-']).all(component)
}

// spec: encoded ::= [a-zA-Z0-9=_-]+
fn is_encoded(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"=_-".contains(&byte))
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
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// What it computes.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// What has been taken in so far, to be gone on with by [`Hasher::restore`], also in another process.
    pub fn save(&self) -> Vec<u8> {
        match &self.0 {
            State::Sha256(state) => state.serialize().to_vec(),
            State::Sha512(state) => state.serialize().to_vec(),
        }
    }

    /// A hasher as it was saved; `None` for what no hasher of this algorithm has saved.
    pub fn restore(algorithm: Algorithm, saved: &[u8]) -> Option<Self> {
        fn state<T: SerializableState>(saved: &[u8]) -> Option<T> {
            let saved: &SerializedState<T> = saved.try_into().ok()?;
            T::deserialize(saved).ok()
        }
        Some(Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(state(saved)?),
            Algorithm::Sha512 => State::Sha512(state(saved)?),
        }))
    }

    /// The digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.0 {
            State::Sha256(state) => (Algorithm::Sha256, hex::encode(state.finalize())),
            State::Sha512(state) => (Algorithm::Sha512, hex::encode(state.finalize())),
        };
        Digest {
            algorithm,
            hex: hex.into(),
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_saved_hasher_goes_on_where_it_was() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for cut in [0, 1, 64, 127, 128, 200] {
                let bytes = [7; 200];
                let mut hasher = algorithm.hasher();
                hasher.update(&bytes[..cut]);
                let saved = hasher.save();
                let mut restored = Hasher::restore(algorithm, &saved).unwrap();
                restored.update(&bytes[cut..]);
                assert_eq!(restored.finish(), algorithm.digest(&bytes));
                assert!(Hasher::restore(algorithm, &saved[1..]).is_none());
            }
        }
    }

    #[test]
    fn the_empty_content_has_its_well_known_digest() {
        assert_eq!(Digest::sha256(b"").to_string(), EMPTY);
        assert!(
            Algorithm::Sha512
                .digest(b"")
                .to_string()
                .starts_with("sha512:cf83e1357eefb8bdf1542850d66d8007")
        );
    }

    #[test]
    fn a_digest_verifies_its_own_bytes_only() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = algorithm.digest(b"layer");
            assert!(digest.verifies(b"layer"));
            assert!(!digest.verifies(b"Layer"));
        }
    }

    #[test]
    fn hex_must_be_lower_case_and_of_full_length() {
        let upper = EMPTY.replace("e3b0", "E3B0");
        let short = &EMPTY[..EMPTY.len() - 1];
        let long = format!("{EMPTY}0");
        let other_letter = EMPTY.replace("e3b0", "g3b0");
        for text in [
            &upper,
            short,
            &long,
            &other_letter,
            "sha256:",
            "sha256",
            ":",
            "",
        ] {
            assert_eq!(
                text.parse::<Digest>(),
                Err(DigestError::Malformed),
                "{text}"
            );
        }
        let sha512_of_sha256_length = EMPTY.replace("sha256", "sha512");
        assert_eq!(
            sha512_of_sha256_length.parse::<Digest>(),
            Err(DigestError::Malformed)
        );
    }

    #[test]
    fn a_well_formed_digest_of_another_algorithm_is_unsupported() {
        for algorithm in [
            "sha384",
            "blake3",
            "multihash+base58",
            "sha256+b64u",
            "a.b_c-d",
        ] {
            assert_eq!(
                format!("{algorithm}:LCa0a2j_xo-5m0U8HTBBNBNCLXBkg7=").parse::<Digest>(),
                Err(DigestError::UnsupportedAlgorithm(algorithm.to_owned()))
            );
        }
    }

    #[test]
    fn what_is_outside_the_grammar_is_malformed() {
        for text in [
            "SHA256:00",
            "sha384:",
            "sha384:a b",
            "+sha:00",
            "a++b:00",
            "sha384:0:0",
            "é:00",
        ] {
            assert_eq!(
                text.parse::<Digest>(),
                Err(DigestError::Malformed),
                "{text}"
            );
        }
        let long = "a".repeat(65);
        assert_eq!(
            format!("{long}:00").parse::<Digest>(),
            Err(DigestError::Malformed)
        );
    }

    proptest! {
        #[test]
        fn pieces_hash_like_the_whole(bytes: Vec<u8>, at: prop::sample::Index) {
            let (head, tail) = bytes.split_at(at.index(bytes.len() + 1));
            let mut hasher = Algorithm::Sha512.hasher();
            hasher.update(head);
            hasher.update(tail);
            prop_assert_eq!(hasher.finish(), Algorithm::Sha512.digest(&bytes));
        }

        #[test]
        fn a_digest_survives_its_text(bytes: Vec<u8>) {
            let digest = Digest::sha256(&bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = text.parse::<Digest>();
        }
    }
}
