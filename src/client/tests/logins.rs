//! What each kind of credentials sends, and what it means when it is refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    super::ErrorKind,
    auth::{DENIED, challenge, get, token_server},
    server::{FakeServer, Reply},
    *,
};
use crate::config::DockerConfig;

fn with_token(mut remote: Remote) -> Remote {
    remote.credentials = Credentials::Token(Secret::new("identity".to_owned()));
    remote
}

/// A token server that takes identity tokens, and answers anything else with `refusal`.
async fn oauth_server(refusal: u16) -> FakeServer {
    FakeServer::start(move |seen| {
        if seen.target.starts_with("/token") {
            let form: Vec<_> = url::form_urlencoded::parse(&seen.body)
                .into_owned()
                .collect();
            let has = |name: &str, value: &str| form.iter().any(|(n, v)| n == name && v == value);
            let good = seen.method == "POST"
                && has("grant_type", "refresh_token")
                && has("refresh_token", "identity")
                && has("service", "fake")
                && has("scope", "repository:library/nginx:pull");
            return match good {
                true => Reply::new(200, r#"{"access_token":"t1","expires_in":300}"#),
                false => Reply::new(refusal, DENIED),
            };
        }
        match seen.header("authorization") {
            "Bearer t1" => Reply::new(200, "{}"),
            _ => challenge(seen),
        }
    })
    .await
}

#[tokio::test]
async fn an_identity_token_is_exchanged_at_the_token_server() {
    let server = oauth_server(401).await;
    let client = client(with_token(remote(server.url())));
    get(&client).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[1].target, "/token", "no token in a URL");
    assert_eq!(seen[2].header("authorization"), "Bearer t1");
}

#[tokio::test]
async fn an_identity_token_follows_no_redirect_to_another_server() {
    let elsewhere = FakeServer::start(|_| Reply::new(200, r#"{"token":"t"}"#)).await;
    let target = elsewhere.url();
    let server = FakeServer::start(move |seen| match seen.target.starts_with("/token") {
        true => Reply::redirect(target.clone()),
        false => challenge(seen),
    })
    .await;
    let error = get(&client(with_token(remote(server.url()))))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_token_is_sent_as_it_is_where_nobody_exchanges_it() {
    let server = FakeServer::start(|seen| match seen.header("authorization") {
        "Bearer identity" => Reply::new(200, "{}"),
        _ => Reply::new(401, DENIED).with("www-authenticate", "Bearer"),
    })
    .await;
    let client = client(with_token(remote(server.url())));
    get(&client).await.unwrap();
    get(&client).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_token_for_a_remote_that_wants_a_password_is_our_mistake() {
    let server = FakeServer::start(|_| {
        Reply::new(401, DENIED).with("www-authenticate", r#"Basic realm="x""#)
    })
    .await;
    let error = get(&client(with_token(remote(server.url()))))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials);
    assert!(error.message.contains("`username`"), "{error}");
}

#[tokio::test]
async fn a_login_that_the_token_server_refuses_is_our_mistake_and_no_answer() {
    for (remote_of, status) in [
        (with_password as fn(Remote) -> Remote, 401),
        (with_token, 401),
        (with_token, 400),
        (with_token, 405),
    ] {
        let server = FakeServer::start(move |seen| match seen.target.starts_with("/token") {
            true => Reply::new(status, DENIED),
            false => challenge(seen),
        })
        .await;
        let error = get(&client(remote_of(remote(server.url()))))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Credentials, "{status}");
        assert!(!error.is_answer());
        let expected =
            "fake: its token server refuses our credentials (UNAUTHORIZED authentication required)";
        assert_eq!(error.to_string(), expected);
        assert_eq!(
            server.count("/token"),
            1,
            "no second try with the same login"
        );
    }
}

#[tokio::test]
async fn what_the_token_server_says_of_a_repository_or_to_nobody_is_an_answer() {
    for (remote_of, status) in [
        (with_password as fn(Remote) -> Remote, 403),
        (with_token, 403),
        (|remote| remote, 401),
    ] {
        let server = FakeServer::start(move |seen| match seen.target.starts_with("/token") {
            true => Reply::new(status, DENIED),
            false => challenge(seen),
        })
        .await;
        let error = get(&client(remote_of(remote(server.url()))))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{status}");
    }
}

/// The files of docker with one entry for every host, which is replaced now and then.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("config.json")
    }

    fn log_in(&self, server: &FakeServer, password: &str) {
        let host = server.url().authority().to_owned();
        let json =
            format!(r#"{{"auths":{{"{host}":{{"username":"u","password":"{password}"}}}}}}"#);
        std::fs::write(self.path(), json).unwrap();
    }

    fn give(&self, mut remote: Remote) -> Remote {
        remote.credentials = Credentials::DockerConfig(DockerConfig {
            files: vec![self.path()],
            programs: Vec::new(),
        });
        remote
    }
}

#[tokio::test]
async fn a_new_login_in_a_file_is_used_when_the_old_one_is_refused() {
    let basic = FakeServer::start(|seen| match seen.header("authorization") {
        "Basic dTpuZXdlcg==" => Reply::new(200, "{}"),
        _ => Reply::new(401, DENIED).with("www-authenticate", r#"Basic realm="x""#),
    })
    .await;
    let bearer = FakeServer::start(|seen| {
        match (
            seen.target.starts_with("/token"),
            seen.header("authorization"),
        ) {
            (true, "Basic dTpuZXdlcg==") => Reply::new(200, r#"{"token":"t1"}"#),
            (true, _) => Reply::new(401, DENIED),
            (false, "Bearer t1") => Reply::new(200, "{}"),
            _ => challenge(seen),
        }
    })
    .await;
    for server in [basic, bearer] {
        let files = Files::new();
        let client = client(files.give(remote(server.url())));
        assert_eq!(
            get(&client).await.unwrap_err().kind,
            ErrorKind::Denied,
            "as nobody"
        );
        files.log_in(&server, "old");
        get(&client).await.unwrap_err();
        files.log_in(&server, "newer");
        get(&client).await.unwrap();
    }
}

#[tokio::test]
async fn no_login_where_there_should_be_one_is_our_mistake() {
    let server = token_server(Arc::new(1.into()), 300).await;
    let files = Files::new();
    std::fs::write(files.path(), "{ s3cret").unwrap();
    let error = get(&client(files.give(remote(server.url()))))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials);
    let expected = "fake: no login for it: the logins of docker or podman cannot be read";
    assert_eq!(error.to_string(), expected);
    assert_eq!(server.count("/token"), 0);
}

#[tokio::test]
async fn a_helper_that_fails_now_is_an_outage_and_one_that_knows_no_login_is_our_mistake() {
    let server = token_server(Arc::new(1.into()), 300).await;
    let folder = tempfile::tempdir().unwrap();
    for (name, script, kind) in [
        ("away", "echo 503 >&2; exit 1", ErrorKind::Unreachable),
        (
            "empty",
            "echo credentials not found in native keychain; exit 1",
            ErrorKind::Credentials,
        ),
        ("garbage", "echo '{}'", ErrorKind::Credentials),
    ] {
        let program = folder.path().join(format!("docker-credential-{name}"));
        write_program(&program, script).await;
        let mut remote = remote(server.url());
        remote.credentials = Credentials::Helper(program);
        let error = get(&client(remote)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{name}: {error}");
    }
    let mut remote = remote(server.url());
    remote.credentials = Credentials::Helper(folder.path().join("none"));
    let error = get(&client(remote)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials, "{error}");
}

/// By another process: a file that this one has open for writing while it starts something cannot be run.
async fn write_program(path: &std::path::Path, script: &str) {
    let write = format!(
        "printf '%s\\n' '#!/bin/sh' \"$1\" > '{0}' && chmod +x '{0}'",
        path.display()
    );
    let written = tokio::process::Command::new("sh")
        .args(["-c", &write, "sh", script])
        .status()
        .await;
    assert!(written.unwrap().success());
}

/// Takes one of two passwords of `robot`, by Basic or for a token.
async fn changing_server(changed: Arc<AtomicBool>, basic: bool) -> FakeServer {
    FakeServer::start(move |seen| {
        let changed = changed.load(Ordering::SeqCst);
        let (password, token) = match changed {
            false => ("Basic cm9ib3Q6czNjcmV0", "t1"),
            true => ("Basic cm9ib3Q6bmV3ZXI=", "t2"),
        };
        let sent = seen.header("authorization");
        match (seen.target.starts_with("/token"), basic) {
            (true, _) if sent == password => {
                Reply::new(200, format!(r#"{{"token":"{token}","expires_in":300}}"#))
            }
            (true, _) => Reply::new(401, DENIED),
            (false, true) if sent == password => Reply::new(200, "{}"),
            (false, true) => Reply::new(401, DENIED).with("www-authenticate", "Basic realm=x"),
            (false, false) if sent == format!("Bearer {token}") => Reply::new(200, "{}"),
            (false, false) => challenge(seen),
        }
    })
    .await
}

#[tokio::test]
async fn a_helper_is_asked_again_when_its_login_is_refused() {
    let sample = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/programs/docker-credential-sample"
    );
    for basic in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-linked");
        std::os::unix::fs::symlink(sample, &program).unwrap();
        let changed = Arc::new(AtomicBool::new(false));
        let server = changing_server(Arc::clone(&changed), basic).await;
        let mut remote = remote(server.url());
        remote.credentials = Credentials::Helper(program);
        let client = client(remote);
        get(&client).await.unwrap();
        std::fs::write(folder.path().join("secret"), "newer\n").unwrap();
        changed.store(true, Ordering::SeqCst);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(6)).await;
        tokio::time::resume();
        get(&client).await.unwrap();
    }
}
