//! Tag lists and the catalogue: merged from the remote, cut into pages here.

use serde_json::json;

use crate::{
    harness::{FakeRegistry, Fault, Image, ImageBuilder, On, get},
    server::{Setup, TestServer},
};

async fn hub_with_tags(image: &Image, page_size: usize, tags: &[&str]) -> FakeRegistry {
    let hub = FakeRegistry::builder().page_size(page_size).start().await;
    for tag in tags {
        hub.put_image("library/app", tag, image);
    }
    hub
}

fn small() -> Image {
    ImageBuilder::new(5).layer(64).build()
}

/// The items of all pages, with the number of pages; each `Link` is followed as it stands.
async fn follow(server: &TestServer, path: &str, key: &str) -> (Vec<String>, usize) {
    let mut next = Some(path.to_owned());
    let (mut items, mut pages) = (Vec::new(), 0);
    while let Some(path) = next {
        let answer = get(&format!("{}{path}", server.url())).await;
        assert_eq!(answer.status, 200, "{path}");
        let page = answer.json()[key].as_array().expect("a list").clone();
        items.extend(
            page.iter()
                .map(|item| item.as_str().expect("a text").to_owned()),
        );
        pages += 1;
        assert!(pages < 100, "the list does not end");
        next = (!answer.header("link").is_empty()).then(|| {
            let link = answer.header("link");
            let target = link
                .strip_prefix('<')
                .and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
            target
                .unwrap_or_else(|| panic!("not a link: {link}"))
                .to_owned()
        });
    }
    (items, pages)
}

#[tokio::test]
async fn all_pages_of_the_remote_are_one_sorted_list() {
    let tags = ["b", "a", "Z", "1.10", "1.9", "latest", "v1", "v10", "v2"];
    let hub = hub_with_tags(&small(), 2, &tags).await;
    let server = Setup::hub(&hub).start().await;
    let answer = get(&format!("{}/v2/library/app/tags/list", server.url())).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-cache"), "miss");
    assert_eq!(
        answer.json(),
        json!({"name": "library/app", "tags": ["1.10", "1.9", "Z", "a", "b", "latest", "v1", "v10", "v2"]})
    );
    assert!(!answer.headers.contains_key("link"));
    assert_eq!(hub.count(On::tags()), 5);
}

#[tokio::test]
async fn a_list_is_kept_for_its_time() {
    let hub = hub_with_tags(&small(), 1000, &["a", "b"]).await;
    let server = Setup::hub(&hub).start().await;
    let url = format!("{}/v2/library/app/tags/list", server.url());
    get(&url).await;
    let again = get(&format!("{url}?n=1")).await;
    assert_eq!(again.header("x-cache"), "hit");
    assert_eq!(
        get(&format!("{}/v2/docker.io/app/tags/list", server.url()))
            .await
            .header("x-cache"),
        "hit"
    );
    assert_eq!(hub.count(On::tags()), 1);
}

#[tokio::test]
async fn pages_are_followed_to_the_end_by_their_links() {
    let tags = ["a", "b", "c", "d", "e", "f", "g"];
    let hub = hub_with_tags(&small(), 3, &tags).await;
    let server = Setup::hub(&hub).start().await;
    for (n, pages) in [(1, 7), (2, 4), (3, 3), (7, 1), (100, 1)] {
        for (path, ns) in [
            ("library/app", ""),
            ("docker.io/library/app", ""),
            ("library/app", "&ns=docker.io"),
        ] {
            let path = format!("/v2/{path}/tags/list?n={n}{ns}");
            let (seen, count) = follow(&server, &path, "tags").await;
            assert_eq!(seen, tags, "{path}");
            assert_eq!(count, pages, "{path}");
        }
    }
}

#[tokio::test]
async fn a_link_keeps_name_page_size_and_ns() {
    let hub = hub_with_tags(&small(), 10, &["a", "b", "c"]).await;
    let server = Setup::hub(&hub).start().await;
    let url = format!("{}/v2/app/tags/list?ns=index.docker.io&n=2", server.url());
    let answer = get(&url).await;
    assert_eq!(
        answer.header("link"),
        "</v2/app/tags/list?n=2&last=b&ns=index.docker.io>; rel=\"next\""
    );
    assert_eq!(answer.json(), json!({"name": "app", "tags": ["a", "b"]}));
}

#[tokio::test]
async fn last_begins_after_a_tag_that_need_not_exist() {
    let hub = hub_with_tags(&small(), 10, &["a", "c", "e"]).await;
    let server = Setup::hub(&hub).start().await;
    let list = |query: &str| {
        let url = format!("{}/v2/library/app/tags/list?{query}", server.url());
        async move { get(&url).await.json()["tags"].clone() }
    };
    assert_eq!(list("last=a").await, json!(["c", "e"]));
    assert_eq!(list("last=b").await, json!(["c", "e"]));
    assert_eq!(list("last=b&n=1").await, json!(["c"]));
    assert_eq!(list("last=e").await, json!([]));
    assert_eq!(list("n=0").await, json!([]));
    assert_eq!(list("n=99999999999999999999").await, json!(["a", "c", "e"]));
}

#[tokio::test]
async fn a_tag_that_was_pulled_since_is_in_the_list() {
    let image = small();
    let hub = hub_with_tags(&image, 10, &["a"]).await;
    let server = Setup::hub(&hub).start().await;
    let url = format!("{}/v2/library/app/tags/list", server.url());
    assert_eq!(get(&url).await.json()["tags"], json!(["a"]));
    hub.tag("library/app", "new", &image.root);
    assert_eq!(
        get(&server.manifest_url("library/app", "new")).await.status,
        200
    );
    assert_eq!(get(&url).await.json()["tags"], json!(["a", "new"]));
    assert_eq!(hub.count(On::tags()), 1);
}

#[tokio::test]
async fn concurrent_questions_for_a_list_are_one() {
    let hub = hub_with_tags(&small(), 10, &["a", "b"]).await;
    let server = Setup::hub(&hub).start().await;
    let hold = hub.hold(On::tags());
    let url = format!("{}/v2/library/app/tags/list", server.url());
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { get(&url).await })
        })
        .collect();
    hold.reached(1).await;
    hold.release();
    for answer in asked {
        assert_eq!(
            answer.await.expect("no panic").json()["tags"],
            json!(["a", "b"])
        );
    }
    assert_eq!(hub.count(On::tags()), 1);
}

#[tokio::test]
async fn a_list_of_a_repository_that_is_not_there_is_a_404() {
    let hub = FakeRegistry::start().await;
    let server = Setup::hub(&hub).start().await;
    let answer = get(&format!("{}/v2/library/none/tags/list", server.url())).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (404, "NAME_UNKNOWN")
    );
}

#[tokio::test]
async fn absolute_links_and_loops_of_the_remote_are_handled() {
    let image = small();
    let hub = hub_with_tags(&image, 2, &["a", "b", "c", "d", "e"]).await;
    hub.configure(|options| options.absolute_links = true);
    hub.put_image("library/loop", "x", &image);
    let again = "</v2/library/loop/tags/list?n=1000>; rel=\"next\"".to_owned();
    hub.fault_always(
        On::tags().repository("library/loop"),
        Fault::Header("Link", again),
    );
    let server = Setup::hub(&hub).start().await;
    let answer = get(&format!("{}/v2/library/app/tags/list", server.url())).await;
    assert_eq!(answer.json()["tags"], json!(["a", "b", "c", "d", "e"]));
    let answer = get(&format!("{}/v2/library/loop/tags/list", server.url())).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (502, "UNAVAILABLE")
    );
}

#[tokio::test]
async fn the_catalog_lists_what_was_pulled_in_pages() {
    let image = small();
    let hub = FakeRegistry::start().await;
    let other = FakeRegistry::start().await;
    let server = Setup::hub(&hub)
        .mirror("other.io", &other, "")
        .start()
        .await;
    let catalog = format!("{}/v2/_catalog", server.url());
    assert_eq!(get(&catalog).await.json(), json!({"repositories": []}));
    for name in ["library/a", "library/b", "library/b/c"] {
        hub.put_image(name, "1", &image);
        assert_eq!(get(&server.manifest_url(name, "1")).await.status, 200);
    }
    other.put_image("x", "1", &image);
    assert_eq!(
        get(&server.manifest_url("other.io/x", "1")).await.status,
        200
    );
    let all = [
        "docker.io/library/a",
        "docker.io/library/b",
        "docker.io/library/b/c",
        "other.io/x",
    ];
    assert_eq!(get(&catalog).await.json(), json!({ "repositories": all }));
    for (n, pages) in [(1, 4), (3, 2), (4, 1), (5, 1)] {
        let (seen, count) = follow(&server, &format!("/v2/_catalog?n={n}"), "repositories").await;
        assert_eq!(
            (seen.as_slice(), count),
            (all.map(str::to_owned).as_slice(), pages)
        );
    }
    let answer = get(&format!("{catalog}?last=docker.io/library/b&n=1")).await;
    assert_eq!(
        answer.json(),
        json!({"repositories": ["docker.io/library/b/c"]})
    );
}
