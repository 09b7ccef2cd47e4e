//! Logging in at remotes: anonymous, basic, bearer; with which credentials, and where they may go.

use crate::{
    harness::{Auth, FakeRegistry, Image, ImageBuilder, On, basic, get},
    server::{Setup, TestServer},
};

pub(crate) const ACCOUNT: &str = "username = \"robot\"\npassword = \"s3cret\"";

pub(crate) fn image() -> Image {
    ImageBuilder::new(1)
        .layer(3000)
        .layer(2000)
        .layer(1000)
        .build()
}

pub(crate) async fn server_for(remote: &FakeRegistry, keys: &str) -> TestServer {
    Setup::empty()
        .mirror_with("r.io", remote, keys)
        .start()
        .await
}

/// Pulls manifest and blobs, all blobs at once.
pub(crate) async fn pull(server: &TestServer, repository: &str, image: &Image) {
    let answer = get(&server.manifest_url(repository, "1")).await;
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let blobs: Vec<_> = image
        .blobs
        .keys()
        .map(|digest| {
            let url = server.blob_url(repository, digest);
            tokio::spawn(async move { get(&url).await })
        })
        .collect();
    for blob in blobs {
        assert_eq!(blob.await.expect("no panic").status, 200);
    }
}

#[tokio::test]
async fn an_open_remote_sees_no_credentials() {
    let (remote, image) = (FakeRegistry::start().await, image());
    remote.put_image("app", "1", &image);
    let server = server_for(&remote, ACCOUNT).await;
    pull(&server, "r.io/app", &image).await;
    assert_eq!(remote.count(On::any().with_header("authorization")), 0);
}

#[tokio::test]
async fn basic_credentials_are_sent_once_asked_for() {
    let (remote, image) = (
        FakeRegistry::builder()
            .basic("robot", "s3cret")
            .start()
            .await,
        image(),
    );
    remote.put_image("app", "1", &image);
    let server = server_for(&remote, ACCOUNT).await;
    pull(&server, "r.io/app", &image).await;
    assert_eq!(remote.count(On::any().answered(401)), 1);
    let login = basic("robot", "s3cret");
    assert_eq!(
        remote.count(On::any().header("authorization", &login)),
        1 + image.blobs.len()
    );
}

#[tokio::test]
async fn what_the_remote_refuses_is_a_404_that_says_so() {
    let account = || FakeRegistry::builder().bearer_account("robot", "s3cret");
    let login = || FakeRegistry::builder().basic("robot", "s3cret");
    for (remote, keys) in [
        (login(), ""),
        (login(), "username = \"robot\"\npassword = \"guess\""),
        (account(), ""),
    ] {
        let (remote, image) = (remote.start().await, image());
        remote.put_image("app", "1", &image);
        let server = server_for(&remote, keys).await;
        let answer = get(&server.manifest_url("r.io/app", "1")).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "MANIFEST_UNKNOWN"),
            "{keys}"
        );
        let message = answer.json()["errors"][0]["message"].to_string();
        assert!(message.contains("refuses"), "{message}");
        assert_no_secret(&message);
    }
}

fn assert_no_secret(message: &str) {
    let told = ["guess", "robot", "s3cret"]
        .iter()
        .find(|word| message.contains(*word));
    assert_eq!(told, None, "{message}");
}

#[tokio::test]
async fn a_login_that_the_token_server_refuses_is_no_404() {
    let remote = FakeRegistry::builder()
        .bearer_account("robot", "guess")
        .start()
        .await;
    let image = image();
    remote.put_image("app", "1", &image);
    let keys = "username = \"robot\"\npassword = \"guess\"";
    let server = Setup::empty()
        .mirror_with("r.io", &remote, keys)
        .freshness("tags = \"**\"\nmode = \"always\"")
        .start()
        .await;
    pull(&server, "r.io/app", &image).await;
    // Somebody changes the password there.
    remote.configure(|options| {
        options.auth = Auth::Bearer {
            account: Some(("robot".to_owned(), "s3cret".to_owned())),
        };
    });
    remote.revoke_tokens();
    let answer = get(&server.manifest_url("r.io/app", "1")).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"));
    let answer = get(&server.manifest_url("r.io/other", "1")).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (502, "UNAVAILABLE")
    );
    let message = answer.json()["errors"][0]["message"].to_string();
    let expected = "remote r.io: its token server refuses our credentials";
    assert!(message.contains(expected), "{message}");
    assert_no_secret(&message);
}

#[tokio::test]
async fn logins_come_from_the_files_of_docker_and_from_helpers() {
    let image = image();
    let folder = tempfile::TempDir::new().expect("a folder");
    let remote = FakeRegistry::builder()
        .bearer_account("robot", "s3cret")
        .start()
        .await;
    remote.put_image("team/app", "1", &image);
    let host = remote.url().replace("http://", "");
    let programs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");
    let login = basic("robot", "s3cret").replace("Basic ", "");
    for (keys, file) in [
        ("credential_helper = \"sample\"", String::new()),
        (
            "docker_config = true",
            r#"{"credsStore":"sample"}"#.to_owned(),
        ),
        (
            "docker_config = true",
            format!(
                r#"{{"auths":{{"{host}":{{"auth":"bm86bm8="}},"{host}/team":{{"auth":"{login}"}}}}}}"#
            ),
        ),
    ] {
        std::fs::write(folder.path().join("config.json"), &file).expect("a file");
        let server = Setup::empty()
            .mirror_with("r.io", &remote, keys)
            .variable("PATH", programs)
            .variable("DOCKER_CONFIG", &folder.path().display().to_string())
            .start()
            .await;
        pull(&server, "r.io/team/app", &image).await;
    }
}

#[tokio::test]
async fn a_hidden_repository_of_docker_hub_is_a_404_that_says_so() {
    let hub = FakeRegistry::builder().like_docker_hub().start().await;
    hub.put_image("library/app", "1", &image());
    let server = Setup::hub(&hub).start().await;
    assert_eq!(get(&server.manifest_url("app", "1")).await.status, 200);
    let typo = get(&server.manifest_url("ngnix", "1")).await;
    assert_eq!(
        (typo.status, typo.error_code().as_str()),
        (404, "MANIFEST_UNKNOWN")
    );
    let message = typo.json()["errors"][0]["message"].to_string();
    assert!(
        message.contains("docker.io") && message.contains("refuses"),
        "{message}"
    );
    let missing = get(&server.manifest_url("app", "2")).await;
    assert_eq!(missing.status, 404);
    assert!(
        !missing.json()["errors"][0]["message"]
            .to_string()
            .contains("refuses")
    );
}

#[tokio::test]
async fn a_realm_on_the_same_host_is_trusted_and_another_only_if_named() {
    let image = image();
    let elsewhere = FakeRegistry::builder()
        .bearer_account("robot", "s3cret")
        .address([127, 0, 0, 2])
        .start()
        .await;
    let realm = format!("{}/token", elsewhere.url());
    let remote = FakeRegistry::builder()
        .bearer_account("robot", "s3cret")
        .tokens_from(&elsewhere)
        .realm(&realm)
        .start()
        .await;
    remote.put_image("app", "1", &image);
    let server = server_for(&remote, ACCOUNT).await;
    let answer = get(&server.manifest_url("r.io/app", "1")).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (502, "UNAVAILABLE")
    );
    assert!(
        answer.json()["errors"][0]["message"]
            .to_string()
            .contains("realms")
    );
    assert_eq!(
        elsewhere.connections(),
        0,
        "credentials never go to a realm that nobody named"
    );
    let server = server_for(&remote, &format!("{ACCOUNT}\nrealms = [\"127.0.0.2\"]")).await;
    pull(&server, "r.io/app", &image).await;
    assert_eq!(elsewhere.count(On::token()), 1);
}

#[tokio::test]
async fn credentials_come_from_the_environment_or_a_file() {
    let image = image();
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "s3cret\n").expect("a file");
    for password in [
        "{ env = \"ROBOT_PASSWORD\" }".to_owned(),
        format!("{{ file = \"{}\" }}", file.display()),
    ] {
        let remote = FakeRegistry::builder()
            .bearer_account("robot", "s3cret")
            .start()
            .await;
        remote.put_image("app", "1", &image);
        let keys = format!("username = \"robot\"\npassword = {password}");
        let server = Setup::empty()
            .mirror_with("r.io", &remote, &keys)
            .variable("ROBOT_PASSWORD", "s3cret")
            .start()
            .await;
        pull(&server, "r.io/app", &image).await;
    }
}
