//! What one replica has answered a push with is so at every other one from then on.

use http::Method;

use super::Shared;
use crate::{
    api::PASSWORD,
    harness::{Client, ImageBuilder, basic, drain_sha256, get},
    push::{Pusher, setup},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_tag_that_moves_at_one_replica_has_moved_at_the_other() {
    let shared = Shared::new().await;
    let one = shared.replica(setup("")).await;
    let other = shared.replica(setup("")).await;
    let pusher = Pusher::of(&one.server);
    let url = other.server.manifest_url("team/app", "latest");
    for seed in 0..10 {
        let image = ImageBuilder::new(seed).layer(1000).build();
        pusher.image("team/app", "latest", &image).await;
        // Once more from memory.
        for _ in 0..2 {
            assert_eq!(get(&url).await.body, image.root_manifest().bytes);
        }
        for digest in image.blobs.keys() {
            let drained = drain_sha256(&other.server.blob_url("team/app", digest)).await;
            assert_eq!((drained.complete, &drained.digest), (true, digest));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_replica_opens_the_other() {
    let shared = Shared::new().await;
    let one = shared.replica(setup("")).await;
    let other = shared.replica(setup("")).await;
    let login = basic("admin", PASSWORD);
    let asked = "/token?service=entrepot&scope=repository:team/app:pull,push";
    let url = format!("{}{asked}", one.server.url());
    let client = Client::new();
    let answer = client
        .send(Method::GET, &url, &[("authorization", &login)])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.json()["token"].as_str().map(ToOwned::to_owned);
    let bearer = format!("Bearer {}", token.expect("a token"));
    let url = format!("{}/v2/team/app/blobs/uploads/", other.server.url());
    for (proof, status) in [(bearer.as_str(), 202), ("Bearer x.y.z", 401)] {
        let headers = [("authorization", proof)];
        let sent = client.send(Method::POST, &url, &headers).await;
        assert_eq!(sent.status, status);
    }
}
