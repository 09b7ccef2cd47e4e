//! Logging in with a browser: at an issuer or by a password; sessions, and what they may change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aws_lc_rs::digest;
use axum::{http::HeaderMap, response::IntoResponse};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::get_current_timestamp;
use serde_json::{Value, json};

use super::{oidc::Key, *};
use crate::{api::PASSWORD, harness::basic, server::Setup};

const CLIENT_ID: &str = "entrepot at work";
const CLIENT_SECRET: &str = "s3cret:with colon";

/// An issuer on loopback.
struct Issuer {
    url: String,
    /// What a code is worth: the answer, if it comes with the right proof from the right place.
    codes: Arc<Mutex<HashMap<String, Code>>>,
}

struct Code {
    asked: HashMap<String, String>,
    claims: Value,
}

impl Issuer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let key = Arc::new(Key::new("k1"));
        let codes: Arc<Mutex<HashMap<String, Code>>> = Arc::default();
        let discovery = json!({
            "issuer": url, "jwks_uri": format!("{url}/keys"), "token_endpoint": format!("{url}/token"),
            "authorization_endpoint": format!("{url}/authorize?audience=x"),
        });
        let (public, worth) = (key.public(), Arc::clone(&codes));
        let token = async move |headers: HeaderMap, body: String| {
            let form: HashMap<_, _> = pairs(&body);
            let mut codes = worth.lock().expect("no panic");
            let code = codes.remove(&form["code"]);
            if let Some(code) = code.filter(|code| is_right(code, &form, &headers)) {
                let token = key.sign(&code.claims);
                let answer = json!({"token_type": "Bearer", "id_token": token});
                axum::Json(answer).into_response()
            } else {
                let refusal = axum::Json(json!({"error": "invalid_grant"}));
                (axum::http::StatusCode::BAD_REQUEST, refusal).into_response()
            }
        };
        let router = axum::Router::new()
            .route(
                "/.well-known/openid-configuration",
                axum::routing::get(async move || axum::Json(discovery)),
            )
            .route(
                "/keys",
                axum::routing::get(async move || axum::Json(json!({"keys": [public]}))),
            )
            .route("/token", axum::routing::post(token));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, codes }
    }

    /// Who has `groups` of `admins` is an admin of the system.
    async fn server(&self) -> TestServer {
        let issuer = format!(
            "[[access.oidc]]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
             [[access.oidc.rights]]\nclaim = \"groups\"\nvalue = \"admins\"\nadmin = true\n",
            self.url
        );
        setup(&issuer).start().await
    }

    /// The user logs in here, and is sent back with this code.
    fn allows(&self, code: &str, asked: &HashMap<String, String>, nonce: &str) {
        let now = get_current_timestamp();
        let claims = json!({
            "iss": self.url, "aud": CLIENT_ID, "sub": "ada", "groups": ["admins"], "nonce": nonce,
            "iat": now, "exp": now + 300,
        });
        let asked = asked.clone();
        let mut codes = self.codes.lock().expect("no panic");
        codes.insert(code.to_owned(), Code { asked, claims });
    }
}

/// RFC 7636, 4.6, and RFC 6749, 4.1.3.
fn is_right(code: &Code, form: &HashMap<String, String>, headers: &HeaderMap) -> bool {
    let proof = digest::digest(&digest::SHA256, form["code_verifier"].as_bytes());
    let client = basic("entrepot+at+work", "s3cret%3Awith+colon");
    code.asked["code_challenge"] == BASE64_URL_SAFE_NO_PAD.encode(proof)
        && code.asked["redirect_uri"] == form["redirect_uri"]
        && form["grant_type"] == "authorization_code"
        && headers["authorization"] == client.as_str()
}

fn setup(access: &str) -> Setup {
    Setup::empty().section(&format!(
        "[access]\nadmin_password = \"{PASSWORD}\"\n{access}"
    ))
}

fn pairs(query: &str) -> HashMap<String, String> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.into_owned().collect()
}

/// A browser that keeps its cookies.
struct Browser<'s> {
    server: &'s TestServer,
    cookies: HashMap<String, String>,
}

impl<'s> Browser<'s> {
    fn of(server: &'s TestServer) -> Self {
        let cookies = HashMap::new();
        Self { server, cookies }
    }

    async fn ask(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let url = format!("{}/api/v1{path}", self.server.url());
        let all = [&[("cookie", cookies.as_str())][..], headers].concat();
        let answer = Client::new().send(method, &url, &all).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("text");
            assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
            let (pair, attributes) = cookie.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            if attributes.contains("Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    /// What the issuer is asked when a login begins.
    async fn begin(&mut self, issuer: &Issuer, return_to: &str) -> HashMap<String, String> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("issuer", issuer.url.as_str()), ("return_to", return_to)])
            .finish();
        let answer = self.get(&format!("/login/oidc?{query}")).await;
        assert_eq!(answer.status, 303, "{}", answer.json());
        let location = answer.header("location");
        let (place, query) = location.split_once('?').expect("a query");
        assert_eq!(place, format!("{}/authorize", issuer.url));
        pairs(query)
    }

    async fn come_back(&mut self, code: &str, state: &str) -> Answer {
        let path = format!("/login/oidc/callback?session_state=x&code={code}&state={state}");
        self.get(&path).await
    }
}

#[tokio::test]
async fn who_logs_in_at_an_issuer_has_a_session_that_its_claims_give_rights() {
    let issuer = Issuer::start().await;
    let server = issuer.server().await;
    let mut browser = Browser::of(&server);
    let ways = browser.get("/login").await;
    assert_eq!(ways.json()["issuers"], json!([issuer.url]));
    let asked = browser.begin(&issuer, "/projects?q=x").await;
    assert_eq!(
        (asked["client_id"].as_str(), asked["audience"].as_str()),
        (CLIENT_ID, "x")
    );
    let back = format!("{}/api/v1/login/oidc/callback", server.url());
    assert_eq!(asked["redirect_uri"], back);
    issuer.allows("c1", &asked, &asked["nonce"]);
    let answer = browser.come_back("c1", &asked["state"]).await;
    assert_eq!(answer.status, 303, "{}", answer.json());
    assert_eq!(answer.header("location"), "/projects?q=x");
    assert_eq!(answer.header("cache-control"), "no-store");
    let session = browser.get("/session").await.json();
    assert_eq!(session["name"], format!("{}#ada", issuer.url));
    assert_eq!(session["admin"], true);
    assert_eq!(browser.get("/status").await.status, 200);
    let audit = People::of(&server).await.audit().await;
    let told = format!("{}#ada login done", issuer.url);
    assert!(audit.contains(&told), "{audit:?}");
    // The cookie alone changes nothing: any page could make a browser send it.
    let csrf = session["csrf_token"].as_str().expect("a token");
    let path = "/upkeep/orphans";
    for (headers, status) in [
        (vec![], 403),
        (vec![("x-csrf-token", "wrong")], 403),
        (
            vec![("x-csrf-token", csrf), ("sec-fetch-site", "cross-site")],
            403,
        ),
        (vec![("x-csrf-token", csrf)], 200),
    ] {
        let answer = browser.ask(Method::POST, path, &headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
    // It is no user's, and no token for a registry.
    let password = browser.cookies["entrepot-session"].clone();
    let registry = format!("{}/v2/", server.url());
    let as_bearer = get_as(&registry, &format!("Bearer {password}")).await;
    assert_eq!(as_bearer.status, 401);
    let out = [("x-csrf-token", csrf)];
    let gone = browser.ask(Method::DELETE, "/session", &out).await;
    assert_eq!(gone.status, 204);
    assert_eq!(browser.get("/session").await.status, 401);
}

#[tokio::test]
async fn a_login_that_was_not_begun_by_this_browser_opens_nothing() {
    let issuer = Issuer::start().await;
    let server = issuer.server().await;
    let (mut ada, mut eve) = (Browser::of(&server), Browser::of(&server));
    let (asked, by_eve) = (ada.begin(&issuer, "/").await, eve.begin(&issuer, "/").await);
    issuer.allows("c1", &asked, &asked["nonce"]);
    let mut nobody = Browser::of(&server);
    let begun_elsewhere = [
        nobody.come_back("c1", &asked["state"]).await,
        eve.come_back("c1", &asked["state"]).await,
        ada.come_back("c1", &by_eve["state"]).await,
    ];
    assert!(begun_elsewhere.iter().all(|answer| answer.status == 400));
    assert_eq!(ada.come_back("c2", &asked["state"]).await.status, 403);
    for browser in [&nobody, &eve, &ada] {
        assert!(!browser.cookies.contains_key("entrepot-session"));
    }
    // A code that somebody else was given: another proof.
    issuer.allows("c3", &by_eve, &asked["nonce"]);
    assert_eq!(ada.come_back("c3", &asked["state"]).await.status, 403);
    issuer.allows("c4", &asked, "another login's");
    assert_eq!(ada.come_back("c4", &asked["state"]).await.status, 403);
    issuer.allows("c5", &asked, &asked["nonce"]);
    assert_eq!(ada.come_back("c5", &asked["state"]).await.status, 303);
    assert_eq!(ada.come_back("c5", &asked["state"]).await.status, 400);
}

#[tokio::test]
async fn nobody_is_sent_elsewhere_and_refusals_are_told() {
    let issuer = Issuer::start().await;
    let server = issuer.server().await;
    let mut browser = Browser::of(&server);
    let asked = browser.begin(&issuer, "//evil.example").await;
    issuer.allows("c1", &asked, &asked["nonce"]);
    let answer = browser.come_back("c1", &asked["state"]).await;
    assert_eq!(answer.header("location"), "/");
    let denied = browser
        .get("/login/oidc/callback?error=access_denied")
        .await;
    assert_eq!(denied.status, 403);
    assert!(
        denied.json()["detail"]
            .to_string()
            .contains("access_denied")
    );
    let unknown = "/login/oidc?issuer=https://other.example.com";
    assert_eq!(browser.get(unknown).await.status, 404);
}

async fn log_in(server: &TestServer, name: &str, password: &str) -> reqwest::Response {
    crate::harness::install_crypto();
    let client = reqwest::Client::builder().no_proxy().build();
    let request = client
        .expect("a client")
        .post(format!("{}/api/v1/login", server.url()))
        .json(&json!({"name": name, "password": password}));
    request.send().await.expect("the server answers")
}

#[tokio::test]
async fn a_password_opens_a_session_which_ends_with_its_user() {
    let server = setup("").start().await;
    let people = People::of(&server).await;
    people.add("ann", &[]).await;
    let (username, secret) = people.add_token("ann").await;
    assert_eq!(log_in(&server, "ann", "wrong").await.status(), 401);
    assert_eq!(log_in(&server, &username, &secret).await.status(), 403);
    assert_eq!(log_in(&server, "", "").await.status(), 403);
    let answer = log_in(&server, "ann", &password_of("ann")).await;
    assert_eq!(answer.status(), 204);
    let cookie = answer.headers()["set-cookie"].to_str().expect("text");
    let (cookie, _) = cookie.split_once(';').expect("attributes");
    let session = async || {
        let url = format!("{}/api/v1/session", server.url());
        let headers = [("cookie", cookie)];
        Client::new().send(Method::GET, &url, &headers).await
    };
    let answer = session().await;
    assert_eq!(
        (answer.status, &answer.json()["name"]),
        (200, &json!("ann"))
    );
    let url = format!("{}/api/v1/users/ann", server.url());
    let admin = basic("admin", PASSWORD);
    let deleted = ask(Method::DELETE, &url, Some(&admin)).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(session().await.status, 401);
}
