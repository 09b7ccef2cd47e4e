//! `visibility = "remote"`: cached private content for those whom the remote lets in, by their own credentials.

use std::time::Duration;

use super::*;
use crate::{
    harness::{FakeRegistry, Image, ImageBuilder, basic, get},
    server::Setup,
};

/// A remote where `ann` and `bob` log in by Basic, and each sees a repository of their own and `shared/app`.
///
/// The remotes of the harness know one login each, so there are two of them behind one address that looks at who asks.
struct Remote {
    url: String,
    /// What was asked: name, method, path.
    seen: std::sync::Arc<std::sync::Mutex<Vec<(String, String, String)>>>,
    down: std::sync::Arc<std::sync::atomic::AtomicBool>,
    /// How long it takes to answer.
    takes_ms: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

const ANN: (&str, &str) = ("ann", "ann's hub password");
const BOB: (&str, &str) = ("bob", "bob's hub password");

impl Remote {
    async fn start(content: &FakeRegistry) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = std::sync::Arc::<std::sync::Mutex<Vec<_>>>::default();
        let down = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        let (log, is_down, behind) = (seen.clone(), down.clone(), content.url().to_owned());
        let takes_ms = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
        let delay = takes_ms.clone();
        let answer = async move |request: axum::extract::Request| {
            use axum::response::IntoResponse;
            use http::StatusCode;
            let header = request.headers().get("authorization");
            let header = header
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            let who = [ANN, BOB].into_iter().find(|(n, p)| header == basic(n, p));
            let path = request.uri().path().to_owned();
            let name = who.map_or("", |(name, _)| name).to_owned();
            let line = (name.clone(), request.method().to_string(), path.clone());
            log.lock().expect("no panic").push(line);
            let delay = delay.load(std::sync::atomic::Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(delay)).await;
            if is_down.load(std::sync::atomic::Ordering::SeqCst) {
                return StatusCode::BAD_GATEWAY.into_response();
            }
            if name.is_empty() {
                let challenge = [("www-authenticate", "Basic realm=\"remote\"")];
                return (StatusCode::UNAUTHORIZED, challenge).into_response();
            }
            let own = format!("/v2/{name}/");
            if !path.starts_with(&own) && !path.starts_with("/v2/shared/") && path != "/v2/" {
                return StatusCode::FORBIDDEN.into_response();
            }
            let http = reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client");
            let asked = http.request(request.method().clone(), format!("{behind}{path}"));
            let answer = asked.send().await.expect("an answer");
            let mut response = axum::response::Response::builder().status(answer.status());
            for (name, value) in answer.headers() {
                response = response.header(name, value);
            }
            let body = answer.bytes().await.expect("a body");
            response
                .body(axum::body::Body::from(body))
                .expect("a response")
        };
        let router = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            seen,
            down,
            takes_ms,
        }
    }

    fn asked(&self) -> Vec<(String, String, String)> {
        self.seen.lock().expect("no panic").clone()
    }

    fn set_down(&self, is_down: bool) {
        self.down
            .store(is_down, std::sync::atomic::Ordering::SeqCst);
    }
}

/// `corp` is a mirror of that remote, and an open `docker.io` beside it.
async fn server(keys: &str) -> (FakeRegistry, Remote, Image, TestServer) {
    let content = FakeRegistry::start().await;
    let image = ImageBuilder::new(3).layer(2048).build();
    for repository in ["ann/app", "bob/app", "shared/app", "library/nginx"] {
        content.put_image(repository, "1", &image);
    }
    let remote = Remote::start(&content).await;
    let server = Setup::hub(&content)
        .remote(
            "corp",
            &remote.url,
            "retry_for = \"1s\"\nanswer_timeout = \"300ms\"",
        )
        .project("corp", "corp", &format!("visibility = \"remote\"\n{keys}"))
        .section("[access]\nadmin_password = \"admin pass\"")
        .variable("ENTREPOT__SERVER__MIRROR_LISTEN", "127.0.0.1:0")
        .start()
        .await;
    (content, remote, image, server)
}

/// What a visitor sends who went the way of the challenge.
async fn pass(server: &TestServer, repository: &str, who: (&str, &str)) -> String {
    let asked = challenge(&get(&server.manifest_url(repository, "1")).await);
    let scope = parameter(&asked, "scope").to_owned();
    let login = basic(who.0, who.1);
    bearer(&token(server, &[&scope], Some(&login)).await)
}

async fn pull(server: &TestServer, repository: &str, who: (&str, &str)) -> u16 {
    let pass = pass(server, repository, who).await;
    get_as(&server.manifest_url(repository, "1"), &pass)
        .await
        .status
}

#[tokio::test]
async fn two_credentials_see_what_the_remote_shows_each_of_them() {
    let (_content, remote, image, server) = server("").await;
    let base = challenge(&get(&format!("{}/v2/", server.url())).await);
    assert_eq!(parameter(&base, "realm"), format!("{}/token", server.url()));
    for (repository, who, expected) in [
        ("corp/ann/app", ANN, 200),
        ("corp/shared/app", ANN, 200),
        ("corp/bob/app", ANN, 404),
        // Cached by now, for Ann.
        ("corp/ann/app", BOB, 404),
        ("corp/shared/app", BOB, 200),
        ("corp/bob/app", BOB, 200),
    ] {
        assert_eq!(
            pull(&server, repository, who).await,
            expected,
            "{repository} {who:?}"
        );
    }
    // Blobs are no other way in, by GET, HEAD or Range.
    let layer = &image.layers()[0];
    let url = server.blob_url("corp/ann/app", layer);
    let (ann, bob) = (
        pass(&server, "corp/ann/app", ANN).await,
        pass(&server, "corp/ann/app", BOB).await,
    );
    assert_eq!(get_as(&url, &ann).await.status, 200);
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(ask(method, &url, Some(&bob)).await.status, 404);
    }
    let tags = format!("{}/v2/corp/ann/app/tags/list", server.url());
    assert_eq!(get_as(&tags, &ann).await.status, 200);
    assert_eq!(get_as(&tags, &bob).await.status, 404);
    let referrers = format!("{}/v2/corp/ann/app/referrers/{}", server.url(), image.root);
    assert_eq!(get_as(&referrers, &bob).await.status, 404);
    // Nobody else, and not as an admin's guest either.
    assert_eq!(get(&url).await.status, 401);
    let catalog = format!("{}/v2/_catalog", server.url());
    assert!(
        !String::from_utf8_lossy(&get_as(&catalog, &basic(ANN.0, ANN.1)).await.body)
            .contains("corp")
    );
    let admin = basic("admin", "admin pass");
    assert_eq!(get_as(&url, &admin).await.status, 200);
    assert!(
        remote
            .asked()
            .iter()
            .all(|(name, ..)| ["", "ann", "bob"].contains(&name.as_str()))
    );
}

#[tokio::test]
async fn a_verdict_holds_for_its_time_and_costs_one_head() {
    let (_content, remote, image, server) = server("").await;
    let ann = pass(&server, "corp/ann/app", ANN).await;
    let url = server.manifest_url("corp/ann/app", &image.root);
    assert_eq!(get_as(&url, &ann).await.status, 200);
    let asked = remote.asked().len();
    for _ in 0..5 {
        assert_eq!(get_as(&url, &ann).await.status, 200);
        let layer = server.blob_url("corp/ann/app", &image.config());
        let _ = get_as(&layer, &ann).await;
    }
    let heads = remote.asked()[asked..]
        .iter()
        .filter(|seen| seen.1 == "HEAD")
        .count();
    assert!(heads <= 1, "{:?}", &remote.asked()[asked..]);
    // A refusal too.
    let bob = pass(&server, "corp/ann/app", BOB).await;
    assert_eq!(get_as(&url, &bob).await.status, 404);
    let asked = remote.asked().len();
    assert_eq!(get_as(&url, &bob).await.status, 404);
    assert_eq!(remote.asked().len(), asked);
}

#[tokio::test]
async fn in_an_outage_who_was_let_in_still_is_and_nobody_else() {
    let (_content, remote, image, server) = server("verdict_ttl = \"1ms\"").await;
    let ann = pass(&server, "corp/ann/app", ANN).await;
    let url = server.manifest_url("corp/ann/app", &image.root);
    assert_eq!(get_as(&url, &ann).await.status, 200);
    remote.set_down(true);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(get_as(&url, &ann).await.status, 200);
    let bob = pass(&server, "corp/ann/app", BOB).await;
    let refused = get_as(&url, &bob).await.status;
    assert!((500..=504).contains(&refused), "{refused}");
}

#[tokio::test]
async fn who_asks_first_waits_for_a_slow_remote() {
    let (_content, remote, image, server) = server("verdict_ttl = \"1ms\"").await;
    let [ann, bob] = [ANN, BOB].map(|who| pass(&server, "corp/ann/app", who));
    let (ann, bob) = (ann.await, bob.await);
    // More than answer_timeout.
    remote
        .takes_ms
        .store(500, std::sync::atomic::Ordering::SeqCst);
    let url = server.manifest_url("corp/ann/app", &image.root);
    assert_eq!(get_as(&url, &ann).await.status, 200);
    assert_eq!(get_as(&url, &bob).await.status, 404);
    // An earlier yes counts, and is renewed behind it.
    let asked = remote.asked().len();
    assert_eq!(get_as(&url, &ann).await.status, 200);
    assert!(remote.asked().len() > asked);
}

#[tokio::test]
async fn without_a_verdict_in_an_outage_nobody_is_let_in() {
    let keys = "verdict_ttl = \"1ms\"\nverdict_if_error = \"1ms\"";
    let (_content, remote, image, server) = server(keys).await;
    let ann = pass(&server, "corp/ann/app", ANN).await;
    let url = server.manifest_url("corp/ann/app", &image.root);
    assert_eq!(get_as(&url, &ann).await.status, 200);
    remote.set_down(true);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(get_as(&url, &ann).await.status >= 500);
}

#[tokio::test]
async fn the_pull_only_listener_does_not_know_such_a_project() {
    let (_content, remote, _image, server) = server("").await;
    assert_eq!(pull(&server, "corp/ann/app", ANN).await, 200);
    let asked = remote.asked().len();
    let url = format!("{}/v2/corp/ann/app/manifests/1", server.mirror_url());
    for authorization in [
        basic(ANN.0, ANN.1),
        pass(&server, "corp/ann/app", ANN).await,
    ] {
        assert_eq!(get_as(&url, &authorization).await.status, 404);
    }
    let base = get(&format!("{}/v2/", server.mirror_url())).await;
    assert_eq!(base.status, 200);
    assert_eq!(remote.asked().len(), asked);
}

#[tokio::test]
async fn the_name_of_a_user_here_is_decided_here_and_its_password_goes_nowhere() {
    let (_content, remote, _image, server) = server("").await;
    let people = People::of(&server).await;
    people.add("ann", &[grant("corp", "**", &["pull"])]).await;
    let scope = ["repository:corp/ann/app:pull"];
    let guess = token(&server, &scope, Some(&basic(ANN.0, ANN.1))).await;
    assert_eq!(guess.status, 401);
    assert_eq!(remote.asked(), []);
    let login = basic("ann", &password_of("ann"));
    let issued = bearer(&token(&server, &scope, Some(&login)).await);
    // A user with a right needs no verdict; the remote has no login of ours, so nothing comes.
    let answer = get_as(&server.manifest_url("corp/ann/app", "1"), &issued).await;
    assert_eq!(answer.status, 404);
    assert!(remote.asked().iter().all(|(name, ..)| name.is_empty()));
}

#[tokio::test]
async fn a_visitors_token_is_good_for_what_it_was_asked_and_shows_nothing_of_the_credential() {
    let (_content, _remote, _image, server) = server("").await;
    let ann = pass(&server, "corp/ann/app", ANN).await;
    let claims = ann.split('.').nth(1).expect("three parts");
    let engine = base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let text = base64::Engine::decode(&engine, claims).expect("base64");
    let text = String::from_utf8(text).expect("text");
    assert!(
        !text.contains("password") && !text.contains("\"ann\""),
        "{text}"
    );
    let other = get_as(&server.manifest_url("corp/shared/app", "1"), &ann).await;
    let asked = challenge(&other);
    assert_eq!(
        parameter(&asked, "scope"),
        "repository:corp/shared/app:pull"
    );
}

#[tokio::test]
async fn who_tries_logins_of_the_remote_by_way_of_us_is_slowed() {
    let (_content, remote, _image, server) = server("").await;
    let mut statuses = Vec::new();
    for guess in 0..8 {
        let login = basic("ann", &format!("guess {guess}"));
        statuses.push(
            get_as(&server.manifest_url("corp/ann/app", "1"), &login)
                .await
                .status,
        );
    }
    assert_eq!(statuses[..5], [404; 5]);
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    assert!(remote.asked().len() < 30);
}
