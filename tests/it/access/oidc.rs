//! Tokens of a trusted issuer, shown as a password.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp, jwk::Jwk};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::PASSWORD,
    harness::{ImageBuilder, basic},
    push::Pusher,
    server::Setup,
};

const CLIENT_ID: &str = "https://registry.example.com";

/// An issuer on loopback.
struct Issuer {
    url: String,
    /// What it tells of its keys.
    keys: Arc<Mutex<Vec<Jwk>>>,
    asked: Arc<AtomicUsize>,
}

/// A key that signs.
pub(super) struct Key {
    id: String,
    algorithm: Algorithm,
    signing: EncodingKey,
}

impl Issuer {
    async fn start(keys: &[&Key]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let told = Arc::new(Mutex::new(
            keys.iter().map(|key| key.public()).collect::<Vec<_>>(),
        ));
        let asked = Arc::new(AtomicUsize::new(0));
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let (keys, count) = (Arc::clone(&told), Arc::clone(&asked));
        let router = axum::Router::new()
            .route(
                "/.well-known/openid-configuration",
                axum::routing::get(async move || axum::Json(discovery)),
            )
            .route(
                "/keys",
                axum::routing::get(async move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    let keys = keys.lock().expect("no panic").clone();
                    axum::Json(json!({"keys": keys}))
                }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            keys: told,
            asked,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// `team/app:1`, which a job of `org/app` may pull.
    async fn server(&self) -> TestServer {
        let server = Setup::empty()
            .section(&format!(
                "[access]\nadmin_password = \"{PASSWORD}\"\n\
                 [[access.oidc]]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\n\
                 [[access.oidc.rights]]\nclaim = \"repository\"\nvalue = \"org/app\"\n\
                 project = \"team\"\nrepositories = \"app\"\nrights = [\"pull\"]\n\
                 [[access.oidc.rights]]\nclaim = \"groups\"\nvalue = \"admins\"\nadmin = true\n\
                 [[project]]\nname = \"team\"\nkind = \"hosted\"\nvisibility = \"private\"\n",
                self.url
            ))
            .start()
            .await;
        let image = ImageBuilder::new(1).layer(512).build();
        Pusher::of(&server).image("team/app", "1", &image).await;
        server
    }

    /// What a job of `org/app` shows, good for five minutes.
    fn claims(&self) -> Value {
        let now = get_current_timestamp();
        json!({
            "iss": self.url, "aud": CLIENT_ID, "sub": "repo:org/app", "repository": "org/app",
            "iat": now, "nbf": now, "exp": now + 300,
        })
    }
}

impl Key {
    pub(super) fn new(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let document = pair.to_pkcs8v1().expect("a document");
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::ES256,
            signing: EncodingKey::from_ec_der(document.as_ref()),
        }
    }

    fn rsa(id: &str) -> Self {
        const PKCS8_HEADER: usize = 26;
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let document: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("a document");
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::RS256,
            signing: EncodingKey::from_rsa_der(&document.as_ref()[PKCS8_HEADER..]),
        }
    }

    pub(super) fn public(&self) -> Jwk {
        let mut key = Jwk::from_encoding_key(&self.signing, self.algorithm).expect("a public key");
        key.common.key_id = Some(self.id.clone());
        key
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.id.clone()),
            ..Header::new(self.algorithm)
        };
        encode(&header, claims, &self.signing).expect("a token")
    }
}

/// The status of a pull with this as password, with any name.
async fn pull(server: &TestServer, password: &str) -> u16 {
    let url = server.manifest_url("team/app", "1");
    get_as(&url, &basic("ci", password)).await.status
}

fn with(mut claims: Value, key: &str, value: Value) -> Value {
    claims[key] = value;
    claims
}

#[tokio::test]
async fn a_jobs_token_is_a_password_and_its_claims_are_its_rights() {
    for key in [Key::new("k1"), Key::rsa("k1")] {
        let issuer = Issuer::start(&[&key]).await;
        let server = issuer.server().await;
        assert_eq!(pull(&server, &key.sign(&issuer.claims())).await, 200);
        let other = with(issuer.claims(), "repository", json!("org/other"));
        assert_eq!(pull(&server, &key.sign(&other)).await, 404);
        // By a registry token it is the same.
        let login = basic("ci", &key.sign(&issuer.claims()));
        let issued = token(&server, &["repository:team/app:pull,push"], Some(&login)).await;
        let issued = bearer(&issued);
        let url = server.manifest_url("team/app", "1");
        assert_eq!(get_as(&url, &issued).await.status, 200);
        let uploads = format!("{}/v2/team/app/blobs/uploads/", server.url());
        assert_eq!(ask(Method::POST, &uploads, Some(&issued)).await.status, 403);
        let admins = with(issuer.claims(), "groups", json!(["dev", "admins"]));
        let status = format!("{}/api/v1/status", server.url());
        let admin = get_as(&status, &format!("Bearer {}", key.sign(&admins))).await;
        assert_eq!(admin.status, 200);
        let audit = People::of(&server).await.audit().await;
        let job = format!("{}#repo:org/app login done", issuer.url);
        assert!(audit.contains(&job), "{audit:?}");
    }
}

#[tokio::test]
async fn a_token_for_somebody_else_or_of_another_time_opens_nothing() {
    let (key, stranger) = (Key::new("k1"), Key::new("k1"));
    let issuer = Issuer::start(&[&key]).await;
    let server = issuer.server().await;
    let now = get_current_timestamp();
    let claims = || issuer.claims();
    for (what, token) in [
        (
            "audience",
            key.sign(&with(claims(), "aud", json!("https://other.example.com"))),
        ),
        ("no audience", key.sign(&with(claims(), "aud", Value::Null))),
        (
            "issuer",
            key.sign(&with(claims(), "iss", json!("https://other.example.com"))),
        ),
        (
            "expired",
            key.sign(&with(claims(), "exp", json!(now - 120))),
        ),
        (
            "not yet",
            key.sign(&with(claims(), "nbf", json!(now + 120))),
        ),
        ("another's key", stranger.sign(&claims())),
        ("cut", key.sign(&claims())[..100].to_owned()),
    ] {
        assert_eq!(pull(&server, &token).await, 401, "{what}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_less_than_a_minute() {
    let key = Key::new("k1");
    let issuer = Issuer::start(&[&key]).await;
    let server = issuer.server().await;
    let now = get_current_timestamp();
    for (claim, value) in [("exp", now - 30), ("nbf", now + 30)] {
        let skewed = with(issuer.claims(), claim, json!(value));
        assert_eq!(pull(&server, &key.sign(&skewed)).await, 200, "{claim}");
    }
}

#[tokio::test]
async fn a_new_key_is_asked_for_once_and_not_for_every_name_that_somebody_makes_up() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let server = issuer.server().await;
    assert_eq!(pull(&server, &new.sign(&issuer.claims())).await, 401);
    assert_eq!(issuer.asked(), 1);
    issuer.keys.lock().expect("no panic").push(new.public());
    // Just asked: not again yet.
    for _ in 0..5 {
        assert_eq!(pull(&server, &new.sign(&issuer.claims())).await, 401);
    }
    assert_eq!(issuer.asked(), 1);
    let asked_again = async {
        while pull(&server, &new.sign(&issuer.claims())).await != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    let patience = std::time::Duration::from_secs(20);
    tokio::time::timeout(patience, asked_again)
        .await
        .expect("the new key is known");
    assert_eq!(issuer.asked(), 2);
    assert_eq!(pull(&server, &old.sign(&issuer.claims())).await, 200);
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_is_an_outage_and_no_wrong_password() {
    let key = Key::new("k1");
    let mut issuer = Issuer::start(&[&key]).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    issuer.url = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let server = issuer.server().await;
    assert_eq!(pull(&server, &key.sign(&issuer.claims())).await, 503);
}
