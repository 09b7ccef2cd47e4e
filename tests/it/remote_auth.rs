//! Logging in at remotes: anonymous, basic, bearer; tokens shared, renewed, and where they are fetched.

use crate::{
    harness::{Auth, FakeRegistry, Fault, Image, ImageBuilder, On, basic, get},
    server::{Setup, TestServer},
};

const ACCOUNT: &str = "username = \"robot\"\npassword = \"s3cret\"";

fn image() -> Image {
    ImageBuilder::new(1)
        .layer(3000)
        .layer(2000)
        .layer(1000)
        .build()
}

async fn server_for(remote: &FakeRegistry, keys: &str) -> TestServer {
    Setup::empty()
        .mirror_with("r.io", remote, keys)
        .start()
        .await
}

/// Pulls manifest and blobs, all blobs at once.
async fn pull(server: &TestServer, repository: &str, image: &Image) {
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
async fn many_pulls_at_once_share_one_token() {
    let (remote, image) = (FakeRegistry::builder().bearer().start().await, image());
    remote.put_image("app", "1", &image);
    let server = server_for(&remote, "").await;
    let hold = remote.hold(On::token());
    let pulls: Vec<_> = image
        .blobs
        .keys()
        .map(|digest| {
            let url = server.blob_url("r.io/app", digest);
            tokio::spawn(async move { get(&url).await.status })
        })
        .collect();
    hold.reached(1).await;
    hold.release();
    for pull in pulls {
        assert_eq!(pull.await.expect("no panic"), 200);
    }
    pull(&server, "r.io/app", &image).await;
    assert_eq!(remote.count(On::token()), 1);
}

#[tokio::test]
async fn each_repository_has_a_token_of_its_own() {
    let (remote, image) = (
        FakeRegistry::builder()
            .bearer_account("robot", "s3cret")
            .start()
            .await,
        image(),
    );
    remote.put_image("a", "1", &image);
    remote.put_image("b", "1", &image);
    let server = server_for(&remote, ACCOUNT).await;
    pull(&server, "r.io/a", &image).await;
    pull(&server, "r.io/b", &image).await;
    assert_eq!(remote.count(On::token()), 2);
    let scopes: Vec<_> = remote
        .requests_on(&On::token())
        .iter()
        .filter_map(|one| one.request.parameter("scope").map(str::to_owned))
        .collect();
    assert_eq!(scopes, ["repository:a:pull", "repository:b:pull"]);
    assert_eq!(
        remote.count(On::any().answered(401)),
        1,
        "the second repository asks for a token at once"
    );
}

#[tokio::test]
async fn a_revoked_token_is_replaced_without_the_client_noticing() {
    let (remote, image) = (FakeRegistry::builder().bearer().start().await, image());
    remote.put_image("app", "1", &image);
    let server = server_for(&remote, "").await;
    assert_eq!(get(&server.manifest_url("r.io/app", "1")).await.status, 200);
    remote.revoke_tokens();
    pull(&server, "r.io/app", &image).await;
    assert_eq!(remote.count(On::token()), 2);
}

#[tokio::test]
async fn a_token_revoked_in_the_middle_of_a_blob_is_no_end_of_it() {
    let remote = FakeRegistry::builder().bearer().start().await;
    let image = ImageBuilder::new(2).layer(300_000).build();
    remote.put_image("app", "1", &image);
    let server = server_for(&remote, "").await;
    remote.fault(On::blob().get(), Fault::CutAfter(120_000));
    let hold = remote.hold_after(On::blob().get(), 100_000);
    let layer = image.layers()[0].clone();
    let url = server.blob_url("r.io/app", &layer);
    let pull = tokio::spawn(async move { get(&url).await });
    hold.reached(1).await;
    remote.revoke_tokens();
    hold.release();
    let answer = pull.await.expect("no panic");
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(answer.body, image.blob(&layer));
    assert_eq!(remote.count(On::token()), 2);
    assert_eq!(remote.count(On::blob().ranged().answered(206)), 1);
}

#[tokio::test]
async fn tokens_that_are_good_for_one_request_are_no_trouble() {
    let remote = FakeRegistry::builder()
        .bearer()
        .options(|options| options.token_uses = Some(1))
        .start()
        .await;
    let image = image();
    remote.put_image("app", "1", &image);
    let server = server_for(&remote, "").await;
    assert_eq!(get(&server.manifest_url("r.io/app", "1")).await.status, 200);
    for digest in image.blobs.keys() {
        let answer = get(&server.blob_url("r.io/app", digest)).await;
        assert_eq!((answer.status, &answer.body), (200, &image.blob(digest)));
    }
}

#[tokio::test]
async fn a_token_about_to_expire_is_renewed_before_it_is_used() {
    let remote = FakeRegistry::builder()
        .bearer()
        .options(|options| options.token_seconds = Some(0))
        .start()
        .await;
    let image = image();
    remote.put_image("app", "1", &image);
    let server = Setup::empty()
        .mirror("r.io", &remote, "negative_ttl = \"0s\"")
        .start()
        .await;
    // Tokens of no lifetime are refused by the remote: the truth is a 404 that says so, and no endless loop.
    let answer = get(&server.manifest_url("r.io/app", "1")).await;
    assert_eq!(answer.status, 404);
    assert!(remote.requests().len() <= 5, "{}", remote.requests().len());
    remote.configure(|options| options.token_seconds = Some(2));
    pull(&server, "r.io/app", &image).await;
    assert!(remote.count(On::token()) >= 2);
}

#[tokio::test]
async fn access_token_and_a_missing_lifetime_are_understood() {
    let remote = FakeRegistry::builder()
        .bearer()
        .options(|options| {
            options.access_token_only = true;
            options.token_seconds = None;
        })
        .start()
        .await;
    let image = image();
    remote.put_image("app", "1", &image);
    pull(&server_for(&remote, "").await, "r.io/app", &image).await;
    assert_eq!(remote.count(On::token()), 1);
}

#[tokio::test]
async fn a_token_server_that_is_down_is_no_404() {
    let (remote, image) = (FakeRegistry::builder().bearer().start().await, image());
    remote.put_image("app", "1", &image);
    let server = server_for(&remote, "header_timeout = \"700ms\"").await;
    for fault in [
        Fault::status(500),
        Fault::DropBeforeAnswer,
        Fault::GarbageJson,
        Fault::too_many("9"),
    ] {
        remote.fault_always(On::token(), fault.clone());
        let answer = get(&server.manifest_url("r.io/app", "1")).await;
        assert!(
            matches!(answer.status, 502..=504),
            "{fault:?}: {}",
            answer.status
        );
        remote.clear_faults();
    }
    // Its limit is remembered.
    let server = server_for(&remote, "").await;
    assert_eq!(get(&server.manifest_url("r.io/app", "1")).await.status, 200);
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
