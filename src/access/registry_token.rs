//! Registry tokens: what `/token` gives out and `/v2/` takes. JWTs signed with ES256 by a key that all replicas share.
//!
//! A token says who and for what it was asked, never what its holder may: that is looked up each time, so that a right which
//! is taken away is gone at once.

pub(super) mod session;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    digest, hmac,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    GrantText, Right, Scope, SecretKey,
    visitor::{Visitor, VisitorText},
};
use crate::{
    config::Secret,
    meta::{Meta, MetaError},
};

/// `iss` and `aud` of the tokens, and `service` of the challenges.
pub const SERVICE: &str = "entrepot";

const KEY_PURPOSE: &str = "registry-token";
const VISITOR_PURPOSE: &str = "visitor";
/// Replicas' clocks differ a little.
const LEEWAY_SECONDS: u64 = 5;
/// Tokens whose signature need not be checked again.
const VERIFIED: u64 = 10_000;
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// Gives out and reads registry tokens.
pub(super) struct RegistryTokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    lifetime: Duration,
    secret_key: Arc<SecretKey>,
    /// For [`Visitor::key`].
    visitor_key: hmac::Key,
    /// By the hash of the token.
    verified: Cache<[u8; 32], Arc<Claims>>,
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    /// Seconds since 1970.
    exp: u64,
    iat: u64,
    jti: String,
    #[serde(flatten)]
    pub(super) holder: Holder,
    access: Vec<Access>,
}

/// Whose token it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Holder {
    Anonymous,
    User {
        #[serde(rename = "sub")]
        name: String,
    },
    Token {
        #[serde(rename = "sub")]
        id: String,
    },
    Outside {
        #[serde(rename = "sub")]
        name: String,
        admin: bool,
        grants: Vec<GrantText>,
    },
    /// A credential for a remote, sealed.
    Visitor {
        sealed: String,
    },
}

/// As in Docker's tokens: one repository, or the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

/// A token, fresh from the press.
pub struct IssuedToken {
    pub token: Secret,
    pub lifetime: Duration,
    pub issued_at: SystemTime,
}

impl RegistryTokens {
    /// With the key that the database keeps, made if need be.
    pub(super) async fn open(
        meta: &Meta,
        secret_key: Arc<SecretKey>,
        lifetime: Duration,
    ) -> Result<Self, MetaError> {
        let document = kept_key(meta, &secret_key).await?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document)
            .map_err(|_| MetaError::Corrupt("the key for registry tokens".to_owned()))?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[SERVICE]);
        validation.set_audience(&[SERVICE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.leeway = LEEWAY_SECONDS;
        let visitor_key = digest::digest(&digest::SHA256, &document);
        Ok(Self {
            signing: EncodingKey::from_ec_der(&document),
            verifying: DecodingKey::from_ec_der(pair.public_key().as_ref()),
            validation,
            lifetime,
            secret_key,
            visitor_key: hmac::Key::new(hmac::HMAC_SHA256, visitor_key.as_ref()),
            verified: Cache::builder()
                .max_capacity(VERIFIED)
                .time_to_live(VERIFIED_FOR)
                .build(),
        })
    }

    /// A token for this holder and these scopes, not longer than until then.
    pub(super) fn issue(
        &self,
        holder: Holder,
        scope: &[Scope],
        catalog: bool,
        until: Option<SystemTime>,
    ) -> IssuedToken {
        let issued_at = SystemTime::now();
        let left = until.map(|until| until.duration_since(issued_at).unwrap_or_default());
        let lifetime = left.map_or(self.lifetime, |left| left.min(self.lifetime));
        let catalog = catalog.then(Access::catalog);
        let claims = Claims {
            iss: SERVICE.to_owned(),
            aud: SERVICE.to_owned(),
            exp: seconds(issued_at + lifetime),
            iat: seconds(issued_at),
            jti: Uuid::now_v7().to_string(),
            holder,
            access: scope.iter().map(Access::of).chain(catalog).collect(),
        };
        let token = encode(&Header::new(Algorithm::ES256), &claims, &self.signing)
            .expect("the key was read, and claims are JSON");
        IssuedToken {
            token: Secret::new(token),
            lifetime,
            issued_at,
        }
    }

    /// What a token says, if it is one of ours and still good.
    pub(super) async fn read(&self, token: &str) -> Option<Arc<Claims>> {
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        let hash: [u8; 32] = hash.as_ref().try_into().expect("SHA-256 makes 32 bytes");
        if let Some(claims) = self.verified.get(&hash).await {
            let is_good = seconds(SystemTime::now()) < claims.exp + LEEWAY_SECONDS;
            return is_good.then_some(claims);
        }
        let read = decode::<Claims>(token, &self.verifying, &self.validation).ok()?;
        let claims = Arc::new(read.claims);
        self.verified.insert(hash, Arc::clone(&claims)).await;
        Some(claims)
    }

    /// A visitor with this credential.
    pub(super) fn visitor(
        &self,
        username: &str,
        password: &str,
        scope: Option<Arc<[Scope]>>,
    ) -> Visitor {
        let mut context = hmac::Context::with_key(&self.visitor_key);
        context.update(username.as_bytes());
        context.update(&[0]);
        context.update(password.as_bytes());
        let key = context.sign();
        Visitor {
            username: username.to_owned(),
            password: Secret::new(password.to_owned()),
            key: key.as_ref().try_into().expect("SHA-256 makes 32 bytes"),
            scope,
        }
    }

    /// Seals a visitor's credential, for a token.
    pub(super) fn seal(&self, visitor: &Visitor) -> String {
        let text = VisitorText {
            username: visitor.username.clone(),
            password: visitor.password.expose().to_owned(),
        };
        let text = serde_json::to_vec(&text).expect("texts are JSON");
        BASE64_URL_SAFE_NO_PAD.encode(self.secret_key.seal(VISITOR_PURPOSE, &text))
    }

    /// The opposite of [`RegistryTokens::seal`].
    pub(super) fn unseal(&self, sealed: &str, scope: Arc<[Scope]>) -> Option<Visitor> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let text = self.secret_key.unseal(VISITOR_PURPOSE, &sealed)?;
        let text: VisitorText = serde_json::from_slice(&text).ok()?;
        Some(self.visitor(&text.username, &text.password, Some(scope)))
    }
}

impl Claims {
    /// The repositories that it was issued for.
    pub(super) fn scope(&self) -> Arc<[Scope]> {
        self.access.iter().filter_map(Access::scope).collect()
    }

    /// When it is over.
    pub(super) fn until(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.exp)
    }

    /// Was it issued for listing repositories?
    pub(super) fn is_for_catalog(&self) -> bool {
        self.access.contains(&Access::catalog())
    }
}

impl Access {
    fn of(scope: &Scope) -> Self {
        Self {
            kind: "repository".to_owned(),
            name: scope.repository.to_string(),
            actions: scope.rights.iter().map(|right| right.to_string()).collect(),
        }
    }

    fn catalog() -> Self {
        Self {
            kind: "registry".to_owned(),
            name: "catalog".to_owned(),
            actions: vec!["*".to_owned()],
        }
    }

    fn scope(&self) -> Option<Scope> {
        if self.kind != "repository" {
            return None;
        }
        let rights = self
            .actions
            .iter()
            .filter_map(|action| action.parse::<Right>().ok());
        Some(Scope {
            repository: self.name.parse().ok()?,
            rights: rights.collect(),
        })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// PKCS #8, from the database. One that the secret key does not open is replaced: tokens live for minutes.
async fn kept_key(meta: &Meta, secret_key: &SecretKey) -> Result<Vec<u8>, MetaError> {
    let kept = meta.signing_key(KEY_PURPOSE).await?;
    let opened = kept
        .as_ref()
        .map(|sealed| secret_key.unseal(KEY_PURPOSE, sealed));
    if let Some(Some(document)) = opened {
        return Ok(document);
    }
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let pair = pair.expect("the system gives random bytes");
    let document = pair.to_pkcs8v1().expect("a fresh key can be written");
    let sealed = secret_key.seal(KEY_PURPOSE, document.as_ref());
    let kept = if kept.is_some() {
        tracing::warn!(
            "the key for registry tokens was sealed with another secret key; a new one is made"
        );
        meta.signing_key_replace(KEY_PURPOSE, sealed).await?
    } else {
        meta.signing_key_put(KEY_PURPOSE, sealed).await?
    };
    secret_key
        .unseal(KEY_PURPOSE, &kept)
        .ok_or_else(|| MetaError::Corrupt("replicas have different secret keys".to_owned()))
}
