//! Tokens of remotes: shared, renewed, and where they are fetched.

use crate::{
    harness::{FakeRegistry, Fault, ImageBuilder, On, get},
    remote_auth::{ACCOUNT, image, pull, server_for},
    server::Setup,
};

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
        Fault::status(404),
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
async fn a_404_of_the_token_server_takes_no_tag_away() {
    let (remote, image) = (FakeRegistry::builder().bearer().start().await, image());
    remote.put_image("app", "1", &image);
    let server = Setup::empty()
        .mirror_with("r.io", &remote, "")
        .freshness("tags = \"**\"\nmode = \"always\"")
        .start()
        .await;
    let url = server.manifest_url("r.io/app", "1");
    assert_eq!(get(&url).await.status, 200);
    remote.fault_always(On::token(), Fault::status(404));
    remote.revoke_tokens();
    for _ in 0..2 {
        let answer = get(&url).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"));
    }
    remote.clear_faults();
    assert_eq!(get(&url).await.header("x-cache"), "hit");
}
