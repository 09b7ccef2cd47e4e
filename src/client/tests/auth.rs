use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;

use super::{
    super::{ErrorKind, Patience},
    server::{FakeServer, Reply, Seen},
    *,
};

pub(super) const DENIED: &str =
    r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication\nrequired"}]}"#;

pub(super) fn challenge(seen: &Seen) -> Reply {
    let host = seen.header("host");
    let scope = "repository:library/nginx:pull";
    let text = format!(r#"Bearer realm="http://{host}/token",service="fake",scope="{scope}""#);
    Reply::new(401, DENIED).with("www-authenticate", text)
}

/// Gives tokens `t1`, `t2`, …; only the one that `valid` says is good.
pub(super) async fn token_server(valid: Arc<AtomicUsize>, expires_in: u32) -> FakeServer {
    let given = AtomicUsize::new(0);
    FakeServer::start(move |seen| {
        if seen.target.starts_with("/token") {
            let n = given.fetch_add(1, Ordering::SeqCst) + 1;
            let body = format!(r#"{{"token":"t{n}","expires_in":{expires_in}}}"#);
            return Reply::new(200, body).after(Duration::from_millis(30));
        }
        let good = format!("Bearer t{}", valid.load(Ordering::SeqCst));
        if seen.header("authorization") == good {
            Reply::new(200, "{}")
        } else {
            challenge(seen)
        }
    })
    .await
}

pub(super) async fn get(client: &RegistryClient) -> Result<(), ClientError> {
    client
        .manifest_get(&name(), &tag(), Patience::Full)
        .await
        .map(|_| ())
}

#[tokio::test]
async fn an_open_remote_is_asked_without_credentials() {
    let server = FakeServer::start(|_| Reply::new(200, "{}")).await;
    get(&client(with_password(remote(server.url()))))
        .await
        .unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), "");
    let version = concat!("entrepot/", env!("CARGO_PKG_VERSION"));
    assert_eq!(seen[0].header("user-agent"), version);
}

#[tokio::test]
async fn basic_credentials_are_sent_when_asked_and_then_at_once() {
    let server = FakeServer::start(|seen| match seen.header("authorization") {
        "Basic dTpw" => Reply::new(200, "{}"),
        _ => Reply::new(401, DENIED).with("www-authenticate", r#"Basic realm="x""#),
    })
    .await;
    let client = client(with_password(remote(server.url())));
    get(&client).await.unwrap();
    get(&client).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn refused_credentials_are_a_denial_in_the_remotes_words() {
    let server = FakeServer::start(|_| {
        Reply::new(401, DENIED).with("www-authenticate", r#"Basic realm="x""#)
    })
    .await;
    let error = get(&client(with_password(remote(server.url()))))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert_eq!(error.status, Some(401));
    let expected = "fake: the remote refuses: UNAUTHORIZED authentication required";
    assert_eq!(error.to_string(), expected);
    assert_eq!(server.seen().len(), 2);
    let anonymous = get(&client(remote(server.url()))).await.unwrap_err();
    assert_eq!(anonymous.kind, ErrorKind::Denied);
}

#[tokio::test]
async fn a_token_is_fetched_anonymously_and_sent_at_once_from_then_on() {
    let server = token_server(Arc::new(1.into()), 300).await;
    let client = client(remote(server.url()));
    get(&client).await.unwrap();
    get(&client).await.unwrap();
    let targets: Vec<_> = server.seen().into_iter().map(|seen| seen.target).collect();
    let manifest = "/v2/library/nginx/manifests/latest";
    let token = "/token?service=fake&scope=repository%3Alibrary%2Fnginx%3Apull";
    assert_eq!(targets, [manifest, token, manifest, manifest]);
    assert_eq!(server.seen()[1].header("authorization"), "");
}

#[tokio::test]
async fn credentials_go_to_the_token_server_and_not_to_the_remote() {
    let server = token_server(Arc::new(1.into()), 300).await;
    get(&client(with_password(remote(server.url()))))
        .await
        .unwrap();
    let sent: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").to_owned())
        .collect();
    assert_eq!(sent, ["", "Basic dTpw", "Bearer t1"]);
}

#[tokio::test]
async fn twenty_waiters_share_one_token_request() {
    let server = token_server(Arc::new(1.into()), 300).await;
    let client = client(remote(server.url()));
    let results = join_all((0..20).map(|_| get(&client))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn a_revoked_token_is_renewed_once() {
    let valid = Arc::new(AtomicUsize::new(1));
    let server = token_server(Arc::clone(&valid), 300).await;
    let client = client(remote(server.url()));
    get(&client).await.unwrap();
    valid.store(2, Ordering::SeqCst);
    get(&client).await.unwrap();
    assert_eq!(server.count("/token"), 2);
    valid.store(9, Ordering::SeqCst);
    let error = get(&client).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert_eq!(server.count("/token"), 3);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let valid = Arc::new(AtomicUsize::new(1));
    let server = token_server(Arc::clone(&valid), 60).await;
    let client = client(remote(server.url()));
    get(&client).await.unwrap();
    valid.store(2, Ordering::SeqCst);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(46)).await;
    tokio::time::resume();
    let asked = server.count("/manifests/");
    get(&client).await.unwrap();
    assert_eq!(server.count("/token"), 2);
    assert_eq!(
        server.count("/manifests/"),
        asked + 1,
        "without another 401"
    );
}

#[tokio::test]
async fn a_realm_on_a_foreign_host_gets_nothing() {
    let elsewhere = FakeServer::start(|_| Reply::new(200, r#"{"token":"t"}"#)).await;
    let realm = elsewhere.localhost();
    let server = FakeServer::start(move |_| {
        Reply::new(401, "").with(
            "www-authenticate",
            format!(r#"Bearer realm="{realm}token?secret=1""#),
        )
    })
    .await;
    let error = get(&client(with_password(remote(server.url()))))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("not trusted"), "{error}");
    assert!(!error.message.contains("secret"), "{error}");
    assert!(elsewhere.seen().is_empty());

    let mut named = remote(server.url());
    named.realms = vec!["localhost".to_owned()];
    get(&client(named)).await.unwrap_err();
    assert_eq!(elsewhere.seen().len(), 1);
}

#[tokio::test]
async fn a_token_server_without_a_token_is_an_invalid_answer() {
    let server = FakeServer::start(|seen| match seen.target.starts_with("/token") {
        true => Reply::new(200, "{}"),
        false => challenge(seen),
    })
    .await;
    let error = get(&client(remote(server.url()))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_404_of_the_token_server_is_none_of_the_remote_and_may_pass() {
    let misses = AtomicUsize::new(0);
    let server = FakeServer::start(move |seen| {
        if seen.header("authorization") == "Bearer t" {
            return Reply::new(200, "{}");
        }
        if !seen.target.starts_with("/token") {
            return challenge(seen);
        }
        match misses.fetch_add(1, Ordering::SeqCst) {
            2 => Reply::new(200, r#"{"token":"t"}"#),
            _ => Reply::new(404, ""),
        }
    })
    .await;
    let client = client(remote(server.url()));
    get(&client).await.unwrap();
    let server = FakeServer::start(|seen| match seen.target.starts_with("/token") {
        true => Reply::new(404, ""),
        false => challenge(seen),
    })
    .await;
    let error = get(&self::client(remote(server.url()))).await.unwrap_err();
    assert_eq!(
        (error.kind, error.status),
        (ErrorKind::Unreachable, Some(404))
    );
}

#[tokio::test]
async fn a_token_server_that_is_too_talkative_is_cut_short() {
    let server = FakeServer::start(|seen| match seen.target.starts_with("/token") {
        true => Reply::new(200, vec![b' '; 1024 * 1024 + 1]),
        false => challenge(seen),
    })
    .await;
    let error = get(&client(remote(server.url()))).await.unwrap_err();
    assert!(error.message.contains("more than 1048576 bytes"), "{error}");
}
