//! Proof among members: a keyed hash of what is asked and when, so that the secret itself is never sent.
//!
//! ```text
//! authorization: Entrepot-Peer <milliseconds> <hex of HMAC-SHA256(secret, "<path and query>\n<milliseconds>")>
//! ```
//! It is good for one question to one member (whom the path names) for a minute. The times are those of the database's clock, which all share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use sha2::Sha256;

use super::Cluster;
use crate::config::Secret;

const SCHEME: &str = "Entrepot-Peer ";

/// How old a proof may be, or how far ahead.
const TOLERANCE: Duration = Duration::from_mins(1);

/// The question is from nobody that knows the secret, or is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof of membership is missing or wrong")]
pub struct Refusal;

pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    pub(super) fn new(secret: &Secret) -> Self {
        let key = secret.expose().as_bytes();
        Self(Hmac::new_from_slice(key).expect("a key of any length will do"))
    }

    fn hash(&self, path_and_query: &str, milliseconds: u64) -> Hmac<Sha256> {
        let mut hash = self.0.clone();
        hash.update(format!("{path_and_query}\n{milliseconds}").as_bytes());
        hash
    }

    pub(super) fn sign(&self, path_and_query: &str, now: SystemTime) -> HeaderValue {
        let milliseconds = milliseconds(now);
        let hash = hex::encode(
            self.hash(path_and_query, milliseconds)
                .finalize()
                .into_bytes(),
        );
        let text = format!("{SCHEME}{milliseconds} {hash}");
        HeaderValue::try_from(text).expect("made of visible ASCII")
    }

    pub(super) fn verify(
        &self,
        path_and_query: &str,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let text = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let proof = text.and_then(|text| text.strip_prefix(SCHEME)?.split_once(' '));
        let (time, hash) = proof.ok_or(Refusal)?;
        let time: u64 = time.parse().map_err(|_| Refusal)?;
        let hash = hex::decode(hash).map_err(|_| Refusal)?;
        let limit = u64::try_from(TOLERANCE.as_millis()).expect("a minute");
        let is_now = time.abs_diff(milliseconds(now)) <= limit;
        // In constant time.
        let is_right = self.hash(path_and_query, time).verify_slice(&hash).is_ok();
        if is_right && is_now {
            Ok(())
        } else {
            Err(Refusal)
        }
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Cluster {
    /// Is this question from a member?
    pub fn verify(&self, path_and_query: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let now = self.now();
        self.inner.signer.verify(path_and_query, headers, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "/peer/m/fills/d?from=1";

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn signer(secret: &str) -> Signer {
        Signer::new(&Secret::new(secret.to_owned()))
    }

    fn headers(proof: &HeaderValue) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, proof.clone())])
    }

    #[test]
    fn a_proof_is_good_for_one_question_for_a_minute() {
        let signer = signer("secret");
        let proof = headers(&signer.sign(ASKED, at(1000)));
        for (seconds, outcome) in [
            (1000, Ok(())),
            (1060, Ok(())),
            (940, Ok(())),
            (1061, Err(Refusal)),
            (939, Err(Refusal)),
        ] {
            assert_eq!(
                signer.verify(ASKED, &proof, at(seconds)),
                outcome,
                "{seconds}"
            );
        }
        for other in [
            "/peer/m/fills/e?from=1",
            "/peer/n/fills/d?from=1",
            "/peer/m/fills/d?from=11",
        ] {
            assert_eq!(signer.verify(other, &proof, at(1000)), Err(Refusal));
        }
    }

    #[test]
    fn who_does_not_know_the_secret_is_refused() {
        let right = signer("secret");
        let wrong = headers(&signer("other").sign(ASKED, at(1)));
        assert_eq!(right.verify(ASKED, &wrong, at(1)), Err(Refusal));
        assert_eq!(right.verify(ASKED, &HeaderMap::new(), at(1)), Err(Refusal));
        for text in [
            "",
            "Basic dTpw",
            "Entrepot-Peer 1000",
            "Entrepot-Peer x y",
            "Entrepot-Peer 1000 ",
        ] {
            let headers = headers(&HeaderValue::from_static(text));
            assert_eq!(right.verify(ASKED, &headers, at(1)), Err(Refusal), "{text}");
        }
    }
}
