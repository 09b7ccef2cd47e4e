//! "Determining Support", "Error Codes", "Warnings", "Registry Proxying", and HTTP where the specification says nothing.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use super::{REPOSITORY, Registry, absent, blob_path, manifest_path};
use crate::{
    harness::{FakeRegistry, ImageBuilder, get},
    server::{Setup, on_both},
};

on_both!(
    determining_support_is_200,
    error_codes_bodies_have_the_form_and_codes_of_the_table,
    warnings_have_code_299_and_agent_dash,
    registry_proxying_ns_is_returned,
    api_a_method_that_an_endpoint_has_not_is_405_with_allow,
);

const CODES: [&str; 14] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
];

async fn determining_support_is_200() {
    let registry = Registry::start().await;
    for path in ["/v2/", "/v2"] {
        assert_eq!(registry.get(path).await.status, 200, "{path}");
    }
}

async fn error_codes_bodies_have_the_form_and_codes_of_the_table() {
    let registry = Registry::start().await;
    let session = registry.session().await;
    let [digest, _] = absent();
    let uploads = format!("/v2/{REPOSITORY}/blobs/uploads/");
    let mismatch = format!("{session}?digest={digest}");
    let unknown = format!("{uploads}01890000-0000-7000-8000-000000000000?digest={digest}");
    let invalid = format!("{uploads}?digest=md5:00");
    let mut seen = BTreeSet::new();
    for (method, path, headers, body) in [
        (Method::GET, blob_path(&digest), [("x-any", "1")], ""),
        (Method::GET, manifest_path("absent"), [("x-any", "1")], ""),
        (
            Method::GET,
            "/v2/team/nothing/tags/list".to_owned(),
            [("x-any", "1")],
            "",
        ),
        (
            Method::GET,
            "/v2/team/UPPER/tags/list".to_owned(),
            [("x-any", "1")],
            "",
        ),
        (Method::GET, blob_path("sha256:00"), [("x-any", "1")], ""),
        (
            Method::PUT,
            manifest_path("1"),
            [("content-type", "a/b")],
            "{",
        ),
        (Method::POST, invalid, [("x-any", "1")], "x"),
        (Method::PUT, unknown, [("x-any", "1")], "x"),
        (
            Method::PATCH,
            session.clone(),
            [("content-range", "9-9")],
            "x",
        ),
        (Method::PUT, mismatch, [("x-any", "1")], "x"),
        (Method::POST, blob_path(&digest), [("x-any", "1")], ""),
    ] {
        let answer = registry.send(method.clone(), &path, &headers, body).await;
        assert!(
            (400..500).contains(&answer.status),
            "{method} {path}: {}",
            answer.status
        );
        assert_eq!(answer.header("content-type"), "application/json");
        let document: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let errors = document["errors"].as_array().expect("a list of errors");
        assert!(!errors.is_empty());
        for error in errors {
            let code = error["code"].as_str().expect("a code");
            assert!(CODES.contains(&code), "{code}");
            assert!(
                error["message"]
                    .as_str()
                    .is_some_and(|message| !message.is_empty())
            );
            seen.insert(code.to_owned());
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");
}

/// A stale answer carries one, also when several headers could.
async fn warnings_have_code_299_and_agent_dash() {
    let remote = FakeRegistry::start().await;
    remote.put_image("app", "1", &ImageBuilder::new(1).layer(100).build());
    let server = Setup::empty()
        .mirror("r", &remote, "visibility = \"public\"")
        .freshness("ttl = \"0s\"")
        .start()
        .await;
    let url = server.manifest_url("r/app", "1");
    assert!(!get(&url).await.headers.contains_key("warning"));
    server.settled().await;
    remote.stop().await;
    let stale = get(&url).await;
    let warnings: Vec<_> = stale.headers.get_all("warning").iter().collect();
    assert_eq!((stale.status, warnings.len()), (200, 1));
    let text = warnings[0].to_str().expect("a text");
    // No date follows the quoted text.
    assert!(
        text.starts_with("299 - \"") && text.ends_with('"') && text.len() < 4096,
        "{text}"
    );
}

async fn registry_proxying_ns_is_returned() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(100).build();
    remote.put_image("app", "1", &image);
    let server = Setup::empty()
        .mirror(
            "r",
            &remote,
            "visibility = \"public\"\nhosts = [\"r.example.com\"]",
        )
        .start()
        .await;
    let layer = &image.layers()[0];
    for path in ["manifests/1", &format!("blobs/{layer}"), "tags/list"] {
        let url = format!("{}/v2/app/{path}?ns=r.example.com", server.url());
        let answer = get(&url).await;
        assert_eq!(
            (answer.status, answer.header("oci-namespace")),
            (200, "r.example.com"),
            "{path}"
        );
    }
    server.settled().await;
}

async fn api_a_method_that_an_endpoint_has_not_is_405_with_allow() {
    let registry = Registry::start().await;
    let [digest, _] = absent();
    for (method, path) in [
        (Method::POST, manifest_path("1")),
        (Method::PUT, blob_path(&digest)),
        (Method::DELETE, format!("/v2/{REPOSITORY}/tags/list")),
        (Method::PUT, format!("/v2/{REPOSITORY}/referrers/{digest}")),
        (Method::GET, format!("/v2/{REPOSITORY}/blobs/uploads/")),
        (Method::DELETE, "/v2/".to_owned()),
    ] {
        let refused = registry.send(method.clone(), &path, &[], "").await;
        assert_eq!(
            (refused.status, refused.error_code().as_str()),
            (405, "UNSUPPORTED"),
            "{method} {path}"
        );
        let allowed = refused.header("allow");
        assert!(
            !allowed.is_empty() && !allowed.contains(method.as_str()),
            "{allowed}"
        );
    }
}
