//! The management API: who may call, what refusals look like, the document, the audit log.

use http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Client, FakeRegistry, Image, ImageBuilder, On, basic, get},
    process::Process,
    server::{Setup, TestServer},
};

pub(crate) const PASSWORD: &str = "right password";

/// Every call: method, path, a query that is right.
const CALLS: [(&str, &str, &str); 66] = [
    ("GET", "/users", ""),
    ("POST", "/users", ""),
    ("GET", "/users/{name}", ""),
    ("PUT", "/users/{name}", ""),
    ("DELETE", "/users/{name}", ""),
    ("PUT", "/users/me/password", ""),
    ("GET", "/session", ""),
    ("DELETE", "/session", ""),
    ("GET", "/tokens", ""),
    ("POST", "/tokens", ""),
    ("DELETE", "/tokens/{id}", ""),
    ("GET", "/audit", ""),
    ("GET", "/projects", ""),
    ("POST", "/projects", ""),
    ("GET", "/projects/{name}", ""),
    ("PUT", "/projects/{name}", ""),
    ("DELETE", "/projects/{name}", ""),
    ("GET", "/repositories", ""),
    ("POST", "/repositories", ""),
    ("GET", "/repository", "?name=docker.io/library/app"),
    ("PUT", "/repository", "?name=docker.io/library/app"),
    ("DELETE", "/repository", "?name=docker.io/library/app"),
    (
        "GET",
        "/artifact",
        "?name=docker.io/library/app&reference=1",
    ),
    (
        "DELETE",
        "/artifact",
        "?name=docker.io/library/app&reference=1",
    ),
    (
        "PUT",
        "/artifact/labels",
        "?name=docker.io/library/app&reference=1",
    ),
    ("GET", "/search", "?q=app"),
    ("GET", "/providers", ""),
    ("GET", "/remotes", ""),
    ("POST", "/remotes", ""),
    ("POST", "/remotes/test", ""),
    ("GET", "/remotes/{name}", ""),
    ("PUT", "/remotes/{name}", ""),
    ("DELETE", "/remotes/{name}", ""),
    ("POST", "/remotes/{name}/test", ""),
    ("GET", "/status", ""),
    ("GET", "/cache", ""),
    ("GET", "/cache/entry", ENTRY),
    ("DELETE", "/cache/entry", ENTRY),
    ("POST", "/cache/entry/refresh", ENTRY),
    ("PUT", "/cache/entry/pin", ENTRY),
    ("DELETE", "/cache/entry/pin", ENTRY),
    ("GET", "/rules", ""),
    ("POST", "/rules", ""),
    ("GET", "/rules/{name}", ""),
    ("PUT", "/rules/{name}", ""),
    ("PATCH", "/rules/{name}", ""),
    ("DELETE", "/rules/{name}", ""),
    ("GET", "/rules/{name}/sync", ""),
    ("GET", "/rules/{name}/tasks", ""),
    ("POST", "/rules/{name}/executions", ""),
    ("GET", "/executions", ""),
    ("GET", "/executions/{id}", ""),
    ("GET", "/executions/{id}/plan", ""),
    ("POST", "/executions/{id}/apply", ""),
    ("POST", "/executions/{id}/stop", ""),
    ("POST", "/executions/{id}/retry", ""),
    ("GET", "/executions/{id}/tasks", ""),
    ("GET", "/tasks/{id}", ""),
    ("GET", "/tasks/{id}/log", ""),
    ("GET", "/fills", ""),
    ("GET", "/events", ""),
    ("POST", "/cache/warm", ""),
    ("POST", "/upkeep/evict", ""),
    ("POST", "/upkeep/orphans", ""),
    ("POST", "/upkeep/retention", ""),
    ("POST", "/upkeep/scrub", ""),
];
const ENTRY: &str = "?name=docker.io/library/app&reference=1";

/// A server whose admin has [`PASSWORD`].
pub(crate) fn setup(hub: &FakeRegistry) -> Setup {
    Setup::hub(hub).section(&format!("[access]\nadmin_password = \"{PASSWORD}\""))
}

pub(crate) async fn hub() -> (FakeRegistry, Image) {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(300_000).build();
    hub.put_image("library/app", "1", &image);
    (hub, image)
}

/// A call as the admin; the path without `/api/v1`.
pub(crate) async fn call(server: &TestServer, method: &str, path: &str) -> Answer {
    call_with(server.url(), method, path, &[]).await
}

/// The same at this URL, with further headers.
pub(crate) async fn call_with(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let login = basic("admin", PASSWORD);
    let mut all = vec![("authorization", login.as_str())];
    all.extend(headers);
    raw(url, method, path, &all).await
}

async fn raw(url: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let method = method.parse::<Method>().expect("a method");
    let url = format!("{url}/api/v1{path}");
    Client::new().send(method, &url, headers).await
}

/// Status and body of a refusal, which must have the shape of one.
pub(crate) fn problem(answer: &Answer) -> (u16, Value) {
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{answer:?}"
    );
    let body = answer.json();
    assert_eq!(body["status"], answer.status);
    for member in ["type", "title", "detail"] {
        assert!(
            body[member].as_str().is_some_and(|text| !text.is_empty()),
            "{body}"
        );
    }
    (answer.status, body)
}

/// Pulls all of an image by a tag of Docker Hub.
pub(crate) async fn pull(server: &TestServer, repository: &str, tag: &str, image: &Image) {
    assert_eq!(get(&server.manifest_url(repository, tag)).await.status, 200);
    for digest in image.children() {
        assert_eq!(
            get(&server.manifest_url(repository, &digest)).await.status,
            200
        );
    }
    for digest in image.blobs.keys() {
        assert_eq!(get(&server.blob_url(repository, digest)).await.status, 200);
    }
    server.settled().await;
}

#[tokio::test]
async fn without_the_admins_login_no_call_is_answered() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    for (method, path, query) in CALLS {
        let path = format!("{path}{query}");
        for login in [
            "",
            &basic("admin", "wrong"),
            &basic("root", PASSWORD),
            "Bearer x",
        ] {
            let headers = [("authorization", login)];
            let headers = if login.is_empty() { &[][..] } else { &headers };
            let answer = raw(server.url(), method, &path, headers).await;
            // Who guesses too often is told to wait.
            let is_slowed = answer.status == 429 && login.starts_with("Basic");
            let challenge = if is_slowed {
                ""
            } else {
                "Basic realm=\"entrepot\""
            };
            assert_eq!(answer.header("www-authenticate"), challenge);
            let refused = problem(&answer).0;
            assert!(refused == 401 || is_slowed, "{method} {path} {login}");
        }
    }
    assert_eq!(hub.count(On::any()), 0);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    let path = format!("/cache/entry{ENTRY}");
    for (site, method, status) in [
        ("cross-site", "DELETE", 403),
        ("same-site", "DELETE", 403),
        ("cross-site", "GET", 200),
        ("none", "GET", 200),
        ("same-origin", "DELETE", 204),
    ] {
        let headers = [("sec-fetch-site", site)];
        let answer = call_with(server.url(), method, &path, &headers).await;
        assert_eq!(answer.status, status, "{method} {site}");
    }
}

#[tokio::test]
async fn what_is_not_there_and_wrong_methods_are_problems_too() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    assert_eq!(problem(&call(&server, "GET", "/nothing").await).0, 404);
    let answer = call(&server, "PATCH", "/cache/entry").await;
    assert_eq!(problem(&answer).0, 405);
    let allow = answer.header("allow");
    assert!(allow.contains("GET") && allow.contains("DELETE"), "{allow}");
}

#[tokio::test]
async fn wrong_parameters_are_named_all_at_once() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    for (method, path, fields) in [
        ("GET", "/cache/entry", &["name", "reference"][..]),
        (
            "DELETE",
            "/cache/entry?name=UPPER&reference=.x",
            &["name", "reference"],
        ),
        ("PUT", "/cache/entry/pin?name=docker.io/a", &["reference"]),
        (
            "GET",
            "/cache/entry?name=docker.io/a&reference=sha256:00",
            &["reference"],
        ),
        (
            "GET",
            "/cache/entry?name=docker.io/a&name=docker.io/b&reference=1",
            &["name"],
        ),
        ("GET", "/cache?limit=0", &["limit"]),
        ("GET", "/cache?limit=1001&after=x", &["limit", "after"]),
        ("GET", "/cache?project=nobody.io", &["project"]),
        ("GET", "/cache?projekt=docker.io", &["projekt"]),
        ("GET", "/fills?limit=many&after=x", &["limit", "after"]),
    ] {
        let answer = call(&server, method, path).await;
        let (status, body) = problem(&answer);
        let errors = body["errors"].as_array().expect("a list");
        let named: Vec<_> = errors
            .iter()
            .map(|error| error["field"].as_str().expect("a name"))
            .collect();
        assert_eq!((status, named.as_slice()), (400, fields), "{path}: {body}");
        assert!(
            errors.iter().all(|error| error["message"].is_string()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn the_document_describes_every_call_and_refers_to_nothing_that_it_lacks() {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    // It holds no secret: no login.
    let answer = raw(server.url(), "GET", "/openapi.json", &[]).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let document = answer.json();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    assert_eq!(document["servers"][0]["url"], "/api/v1");
    let mut described = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            described.push((method.to_uppercase(), path.clone()));
            let responses = &operation["responses"];
            for status in ["401", "403", "500"] {
                let content = &responses[status]["content"]["application/problem+json"];
                assert!(
                    content["schema"]["$ref"].is_string(),
                    "{method} {path} {status}"
                );
            }
            assert!(operation["operationId"].is_string(), "{method} {path}");
        }
    }
    described.sort();
    let mut expected = CALLS.map(|(method, path, _)| (method.to_owned(), path.to_owned()));
    expected.sort();
    assert_eq!(described, expected);
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_pull_only_listener_tells_nothing_of_the_server() {
    let (hub, _image) = hub().await;
    let server = setup(&hub)
        .variable("ENTREPOT__SERVER__MIRROR_LISTEN", "127.0.0.1:0")
        .start()
        .await;
    for path in ["/metrics", "/api/v1/status", "/api/v1/openapi.json"] {
        let url = format!("{}{path}", server.mirror_url());
        let headers = [("authorization", &*basic("admin", PASSWORD))];
        let answer = Client::new().send(Method::GET, &url, &headers).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    for path in ["/healthz", "/readyz", "/"] {
        let answer = get(&format!("{}{path}", server.mirror_url())).await;
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn each_write_has_its_line_in_the_audit_log() {
    let (hub, _image) = hub().await;
    let process = Process::serve(&setup(&hub).text(), &[]).await;
    let path = format!("/cache/entry{ENTRY}");
    let headers = [("x-request-id", "audited")];
    let answer = call_with(&process.url, "DELETE", &path, &headers).await;
    assert_eq!(answer.status, 404);
    call_with(&process.url, "GET", &path, &[("x-request-id", "read")]).await;
    let line = process.logged(|line| line["target"] == "audit").await;
    assert_eq!(
        (&line["principal"], &line["status"]),
        (&json!("admin"), &json!(404))
    );
    assert_eq!(line["action"], "DELETE /cache/entry");
    assert_eq!(line["query"], ENTRY[1..]);
    assert_eq!(line["span"]["request_id"], "audited");
    process.logged(|line| line["request_id"] == "read").await;
    let audited = process.stderr().matches("\"target\":\"audit\"").count();
    assert_eq!(audited, 1, "reads are not audited");
}
