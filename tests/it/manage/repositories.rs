//! Repositories: lists, search, visibility of their own, what they hold.

use serde_json::json;

use super::{delete, get, names, post, put};
use crate::{
    api::{hub, pull, setup},
    harness::{Client, ImageBuilder, get as fetch},
};

#[tokio::test]
async fn lists_and_search_find_what_there_is_the_nearest_first() {
    let (hub, image) = hub().await;
    for name in ["library/app-2", "tools/my-app", "tools/other"] {
        hub.put_image(name, "1", &image);
    }
    let server = setup(&hub).start().await;
    for name in [
        "library/app",
        "library/app-2",
        "tools/my-app",
        "tools/other",
    ] {
        pull(&server, name, "1", &image).await;
    }
    let found = get(&server, "/search?q=APP").await;
    assert_eq!(found.status, 200, "{}", found.body);
    assert_eq!(
        names(&found.body["repositories"], "name"),
        [
            "docker.io/library/app",
            "docker.io/library/app-2",
            "docker.io/tools/my-app"
        ]
    );
    assert_eq!(found.headers["x-total-count"], "3");
    let found = get(&server, "/search?q=docker").await;
    assert_eq!(names(&found.body["projects"], "name"), ["docker.io"]);
    let mut path = "/search?q=app&limit=1".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = get(&server, &path).await;
        seen.extend(
            names(&page.body["repositories"], "name")
                .into_iter()
                .map(str::to_owned),
        );
        let Some(link) = page.headers.get("link") else {
            break;
        };
        let link = link.to_str().expect("a text");
        path = link.split(['<', '>']).nth(1).expect("a path")["/api/v1".len()..].to_owned();
    }
    assert_eq!(seen.len(), 3);
    let list = get(&server, "/repositories?project=docker.io&q=tools&limit=1").await;
    assert_eq!(
        names(&list.body["items"], "name"),
        ["docker.io/tools/my-app"]
    );
    assert_eq!(list.headers["x-total-count"], "2");
    assert!(list.headers.contains_key("link"));
}

#[tokio::test]
async fn a_repository_may_be_less_or_more_public_than_its_project() {
    let (hub, image) = hub().await;
    hub.put_image(
        "library/secret",
        "1",
        &ImageBuilder::new(9).layer(10).build(),
    );
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    let secret = server.manifest_url("library/secret", "1");
    assert_eq!(fetch(&secret).await.status, 200);
    server.settled().await;
    let hide = json!({"visibility": "private"});
    let hidden = put(&server, "/repository?name=docker.io/library/secret", hide).await;
    assert_eq!(
        (hidden.status, &hidden.body["visibility"]),
        (200, &json!("private"))
    );
    assert!(matches!(fetch(&secret).await.status, 401 | 404));
    let catalog = fetch(&format!("{}/v2/_catalog", server.url())).await.json();
    assert_eq!(catalog["repositories"], json!(["docker.io/library/app"]));
    let shown = get(&server, "/repository?name=docker.io/library/secret").await;
    assert_eq!(shown.body["inherits_visibility"], false);
    let inherit = put(
        &server,
        "/repository?name=docker.io/library/secret",
        json!({"visibility": null}),
    );
    assert_eq!(inherit.await.status, 200);
    assert_eq!(fetch(&secret).await.status, 200);
    // And the other way round.
    let made = post(
        &server,
        "/projects",
        json!({"name": "team", "kind": "hosted"}),
    )
    .await;
    assert_eq!(made.body["visibility"], "private");
    let open = json!({"name": "team/open", "visibility": "public"});
    let made = post(&server, "/repositories", open).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(
        made.headers["location"],
        "/api/v1/repository?name=team%2Fopen"
    );
    let tags = |name: &str| format!("{}/v2/team/{name}/tags/list", server.url());
    let (open, closed) = (fetch(&tags("open")).await, fetch(&tags("closed")).await);
    assert!(
        open.status != 401 && closed.status == 401,
        "{} {}",
        open.status,
        closed.status
    );
}

#[tokio::test]
async fn a_repository_tells_its_tags_and_an_artifact_what_it_holds() {
    let (hub, _image) = hub().await;
    let index = ImageBuilder::new(5)
        .layer(5000)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    hub.put_image("library/multi", "1", &index);
    let server = setup(&hub).start().await;
    pull(&server, "library/multi", "1", &index).await;
    let repository = get(&server, "/repository?name=docker.io/library/multi").await;
    assert_eq!(repository.status, 200, "{}", repository.body);
    let tag = &repository.body["tags"][0];
    assert_eq!(
        (&tag["tag"], &tag["digest"]),
        (&json!("1"), &json!(index.root))
    );
    assert_eq!(tag["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert!(
        tag["size_bytes"].as_u64() >= Some(index.blob_bytes()),
        "{tag}"
    );
    let artifact = get(
        &server,
        "/artifact?name=docker.io/library/multi&reference=1",
    )
    .await;
    assert_eq!(artifact.status, 200, "{}", artifact.body);
    assert_eq!(
        names(&artifact.body["platforms"], "platform"),
        ["linux/amd64", "linux/arm64"]
    );
    let child = &index.children()[0];
    let path = format!("/artifact?name=docker.io/library/multi&reference={child}");
    let image = get(&server, &path).await;
    assert_eq!(image.status, 200, "{}", image.body);
    assert!(image.body["config"]["digest"].is_string());
    assert_eq!(names(&image.body["layers"], "digest").len(), 1);
    let missing = get(
        &server,
        "/artifact?name=docker.io/library/multi&reference=2",
    )
    .await;
    assert_eq!(missing.status, 404);
    let refused = delete(
        &server,
        "/artifact?name=docker.io/library/multi&reference=1",
    )
    .await;
    assert_eq!(refused.status, 409);
    let anonymous = format!("{}/api/v1/search?q=multi", server.url());
    assert_eq!(Client::new().get(&anonymous).await.status, 401);
}
