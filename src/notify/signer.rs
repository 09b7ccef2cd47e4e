//! Signatures, in the way of Standard Webhooks.
//!
//! ```text
//! webhook-id: <of the notice, the same at each try>
//! webhook-timestamp: <seconds since 1970, of this try>
//! webhook-signature: v1,<base64 of HMAC-SHA256(key, "<id>.<timestamp>.<body>")>
//! ```

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What signs for one webhook.
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("a key of any length will do"))
    }

    /// The headers of a delivery that is sent now.
    pub(super) fn headers(&self, id: &str, body: &[u8], now: SystemTime) -> HeaderMap {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = since.as_secs().to_string();
        let mut hash = self.0.clone();
        hash.update(format!("{id}.{timestamp}.").as_bytes());
        hash.update(body);
        let hash = BASE64_STANDARD.encode(hash.finalize().into_bytes());
        let value = |text: &str| HeaderValue::try_from(text).expect("made of visible ASCII");
        HeaderMap::from_iter([
            (ID, value(id)),
            (TIMESTAMP, value(&timestamp)),
            (SIGNATURE, value(&format!("v1,{hash}"))),
        ])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_signature_is_that_of_the_public_example() {
        // The example of the Standard Webhooks libraries.
        let key = BASE64_STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_614_265_330);
        let body = br#"{"test": 2432232314}"#;
        let headers = Signer::new(&key).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", body, now);
        assert_eq!(headers[&TIMESTAMP], "1614265330");
        assert_eq!(
            headers[&SIGNATURE],
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
