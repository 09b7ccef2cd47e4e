//! What a push may make by itself, and what is gone after a delete.

use http::Method;
use serde_json::json;

use super::{delete, get, names, post};
use crate::{
    api::{PASSWORD, hub, setup},
    harness::{FakeRegistry, ImageBuilder, basic},
    server::{Setup, TestServer},
};

fn creating(hub: &FakeRegistry) -> Setup {
    Setup::hub(hub).section(&format!(
        "[access]\nadmin_password = \"{PASSWORD}\"\nauto_create_projects = true"
    ))
}

/// Begins an upload: the status, and the message of a refusal.
async fn begin(server: &TestServer, name: &str, user: &str) -> (u16, String) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let url = format!("{}/v2/{name}/blobs/uploads/", server.url());
    let mut request = client.request(Method::POST, url);
    if !user.is_empty() {
        request = request.header("authorization", basic(user, PASSWORD));
    }
    let response = request.send().await.expect("the server answers");
    let status = response.status().as_u16();
    (status, response.text().await.expect("a text"))
}

#[tokio::test]
async fn a_push_makes_its_project_where_that_is_allowed() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    assert_eq!(begin(&server, "team/app", "admin").await.0, 404);
    let server = creating(&hub).start().await;
    assert_eq!(begin(&server, "team/app", "").await.0, 401);
    assert_eq!(
        names(&get(&server, "/projects").await.body["items"], "name"),
        ["docker.io"]
    );
    assert_eq!(begin(&server, "team/app", "admin").await.0, 202);
    let project = get(&server, "/projects/team").await.body;
    assert_eq!(
        (
            &project["kind"],
            &project["visibility"],
            &project["managed_by"]
        ),
        (&json!("hosted"), &json!("private"), &json!("api"))
    );
}

#[tokio::test]
async fn a_push_never_makes_a_project_that_hides_the_default_ones_content() {
    let (hub, image) = hub().await;
    hub.put_image("team/app", "1", &image);
    let server = creating(&hub).start().await;
    crate::api::pull(&server, "team/app", "1", &image).await;
    for name in ["library/mine", "team/other"] {
        let (status, message) = begin(&server, name, "admin").await;
        assert_eq!(status, 403, "{message}");
        assert!(
            message.contains("DENIED") && message.contains("would hide"),
            "{message}"
        );
    }
    assert_eq!(
        names(&get(&server, "/projects").await.body["items"], "name"),
        ["docker.io"]
    );
}

#[tokio::test]
async fn a_project_may_want_its_repositories_to_be_created_first() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    let project = json!({"name": "team", "kind": "hosted", "auto_create_repositories": false});
    assert_eq!(post(&server, "/projects", project).await.status, 201);
    let (status, message) = begin(&server, "team/app", "admin").await;
    assert_eq!(status, 403, "{message}");
    assert!(
        message.contains("DENIED") && message.contains("created first"),
        "{message}"
    );
    let repository = json!({"name": "team/app"});
    assert_eq!(
        post(&server, "/repositories", repository.clone())
            .await
            .status,
        201
    );
    assert_eq!(post(&server, "/repositories", repository).await.status, 409);
    assert_eq!(begin(&server, "team/app", "admin").await.0, 202);
    assert_eq!(delete(&server, "/projects/team").await.status, 409);
    assert_eq!(
        delete(&server, "/repository?name=team/app").await.status,
        204
    );
    assert_eq!(get(&server, "/repository?name=team/app").await.status, 404);
    assert_eq!(begin(&server, "team/app", "admin").await.0, 403);
    assert_eq!(delete(&server, "/projects/team").await.status, 204);
}

#[tokio::test]
async fn a_tag_and_a_manifest_are_deleted_by_the_api() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    let project = json!({"name": "team", "kind": "hosted"});
    assert_eq!(post(&server, "/projects", project).await.status, 201);
    let image = ImageBuilder::new(6).layer(100).build();
    push(&server, "team/app", &image, &["1", "2"]).await;
    let tags = get(&server, "/repository?name=team/app").await;
    assert_eq!(names(&tags.body["tags"], "tag"), ["1", "2"]);
    assert_eq!(
        delete(&server, "/artifact?name=team/app&reference=1")
            .await
            .status,
        204
    );
    assert_eq!(
        delete(&server, "/artifact?name=team/app&reference=1")
            .await
            .status,
        404
    );
    let path = format!("/artifact?name=team/app&reference={}", image.root);
    assert_eq!(get(&server, &path).await.status, 200);
    assert_eq!(delete(&server, &path).await.status, 204);
    let tags = get(&server, "/repository?name=team/app").await;
    assert!(
        tags.status == 404 || tags.body["tags"] == json!([]),
        "{}",
        tags.body
    );
}

async fn push(server: &TestServer, name: &str, image: &crate::harness::Image, tags: &[&str]) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let send = async |method: Method, path: String, media_type: &str, body: Vec<u8>| {
        let request = client
            .request(method, format!("{}{path}", server.url()))
            .header("authorization", basic("admin", PASSWORD))
            .header("content-type", media_type)
            .body(body);
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), 201, "{path}");
    };
    for (digest, bytes) in &image.blobs {
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        send(
            Method::POST,
            path,
            "application/octet-stream",
            bytes.to_vec(),
        )
        .await;
    }
    for tag in tags {
        let manifest = image.root_manifest();
        let path = format!("/v2/{name}/manifests/{tag}");
        send(
            Method::PUT,
            path,
            &manifest.media_type,
            manifest.bytes.to_vec(),
        )
        .await;
    }
}
