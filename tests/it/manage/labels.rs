//! Labels of manifests.

use http::Method;
use serde_json::json;

use super::{call_as, get, post, put};
use crate::api::{hub, pull, setup};

#[tokio::test]
async fn labels_are_set_by_who_may_seed_and_shown_with_the_artifact() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    let at = |reference: &str| format!("name=docker.io/library/app&reference={reference}");
    let labels = format!("/artifact/labels?{}", at("1"));
    let artifact = format!("/artifact?{}", at("1"));
    assert_eq!(get(&server, &artifact).await.body["labels"], json!([]));
    let set = put(&server, &labels, json!(["prod", "eu", "prod"])).await;
    assert_eq!((set.status, &set.body), (200, &json!(["eu", "prod"])));
    let by_digest = format!("/artifact?{}", at(&image.root));
    assert_eq!(
        get(&server, &by_digest).await.body["labels"],
        json!(["eu", "prod"])
    );
    for wrong in [
        json!({"labels": []}),
        json!([1]),
        json!([""]),
        json!([" x"]),
        json!(["a\nb"]),
        json!(["x".repeat(129)]),
        json!((0..101).map(|n| n.to_string()).collect::<Vec<_>>()),
    ] {
        assert_eq!(
            put(&server, &labels, wrong.clone()).await.status,
            400,
            "{wrong}"
        );
    }
    let none = format!("/artifact/labels?{}", at("2"));
    assert_eq!(put(&server, &none, json!(["x"])).await.status, 404);
    let rights = |right: &str| json!([{"project": "docker.io", "rights": [right]}]);
    let ada = ("ada", "a long password");
    let user = json!({"name": ada.0, "password": ada.1, "rights": rights("push")});
    assert_eq!(post(&server, "/users", user).await.status, 201);
    let by_ada = async || call_as(&server, ada, Method::PUT, &labels, Some(json!([]))).await;
    assert_eq!(by_ada().await.status, 403);
    let seed = json!({"rights": rights("seed")});
    assert_eq!(put(&server, "/users/ada", seed).await.status, 200);
    assert_eq!(by_ada().await.status, 200);
    assert_eq!(get(&server, &artifact).await.body["labels"], json!([]));
}
