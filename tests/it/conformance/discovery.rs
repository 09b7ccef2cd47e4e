//! "Listing Tags", "Listing Referrers".

use bytes::Bytes;
use serde_json::{Value, json};

use super::{REPOSITORY, Registry, absent};
use crate::{
    harness::{media_type, sha256},
    push::Pushed,
    server::on_both,
};

on_both!(
    listing_tags_is_200_with_name_and_sorted_tags,
    listing_tags_n_and_link_page_through_all,
    listing_tags_n_of_zero_is_empty_without_link,
    listing_tags_last_begins_after_a_tag,
    listing_referrers_of_nothing_is_200_and_empty,
    listing_referrers_an_invalid_digest_is_400,
    listing_referrers_descriptors_have_artifact_type_and_annotations,
    listing_referrers_are_of_this_repository_alone,
    listing_referrers_filters_by_artifact_type_and_says_so,
    listing_referrers_more_than_one_manifest_holds_have_a_link,
);

impl Registry {
    /// Pushes a manifest without blobs: its digest.
    async fn document(&self, reference: &str, document: &Value) -> String {
        let media_type = document["mediaType"].as_str().expect("a media type");
        let body = Bytes::from(document.to_string());
        let put = self.put_manifest(reference, media_type, &body).await;
        assert_eq!(put.status, 201, "{:?}", put.body);
        sha256(&body)
    }

    async fn tags(&self, query: &str) -> (Vec<String>, Option<String>) {
        let page = self
            .get(&format!("/v2/{REPOSITORY}/tags/list{query}"))
            .await;
        assert_eq!(page.status, 200);
        let list = json_of(&page);
        assert_eq!(list["name"], REPOSITORY);
        let tags = serde_json::from_value(list["tags"].clone());
        (tags.expect("a list of texts"), next_of(&page))
    }

    async fn referrers(&self, digest: &str, query: &str) -> Pushed {
        self.get(&format!("/v2/{REPOSITORY}/referrers/{digest}{query}"))
            .await
    }
}

fn json_of(answer: &Pushed) -> Value {
    serde_json::from_slice(&answer.body).expect("a JSON body")
}

/// RFC 8288 (which follows 5988): `<target>; rel="next"`.
fn next_of(page: &Pushed) -> Option<String> {
    let link = page.headers.get("link")?.to_str().expect("a text");
    let (target, relation) = link.split_once('>').expect("a target");
    assert_eq!(relation.trim_start_matches([';', ' ']), "rel=\"next\"");
    Some(target.trim_start_matches('<').to_owned())
}

/// The descriptors of an answer that is an image index.
fn descriptors(answer: &Pushed) -> Vec<Value> {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, media_type::OCI_INDEX)
    );
    let index = json_of(answer);
    assert_eq!(
        (&index["schemaVersion"], &index["mediaType"]),
        (&json!(2), &json!(media_type::OCI_INDEX))
    );
    index["manifests"].as_array().expect("a list").clone()
}

const SORTED: [&str; 7] = ["0", "10", "9", "A", "Z", "_x", "a"];

async fn tagged() -> Registry {
    let registry = Registry::start().await;
    let body = json!({"mediaType": "application/vnd.example+json"});
    for tag in ["a", "Z", "9", "_x", "0", "10", "A"] {
        registry.document(tag, &body).await;
    }
    registry
}

async fn listing_tags_is_200_with_name_and_sorted_tags() {
    let registry = tagged().await;
    assert_eq!(
        registry.tags("").await,
        (SORTED.map(str::to_owned).to_vec(), None)
    );
}

async fn listing_tags_n_and_link_page_through_all() {
    let registry = tagged().await;
    for n in [1, 3, 7, 100] {
        let (mut seen, mut query) = (Vec::new(), format!("?n={n}"));
        loop {
            let (tags, next) = registry.tags(&query).await;
            let complete = next.is_none();
            assert!(
                tags.len() == n || (complete && tags.len() < n),
                "{n}: {tags:?}"
            );
            seen.extend(tags);
            let Some(next) = next else { break };
            let at = next.find('?').expect("parameters");
            next[at..].clone_into(&mut query);
        }
        assert_eq!(seen, SORTED);
    }
}

async fn listing_tags_n_of_zero_is_empty_without_link() {
    let registry = tagged().await;
    for query in ["?n=0", "?n=0&last=0"] {
        assert_eq!(registry.tags(query).await, (Vec::new(), None));
    }
}

async fn listing_tags_last_begins_after_a_tag() {
    let registry = tagged().await;
    for (query, expected) in [
        ("?last=9", &SORTED[3..]),
        ("?n=2&last=9", &SORTED[3..5]),
        // Not an index, and not necessarily a tag that is there.
        ("?n=1&last=1", &SORTED[1..2]),
        ("?last=a", &[]),
    ] {
        assert_eq!(registry.tags(query).await.0, expected, "{query}");
    }
}

async fn listing_referrers_of_nothing_is_200_and_empty() {
    let registry = Registry::start().await;
    for digest in absent() {
        // Before there is a repository, and with one.
        assert!(descriptors(&registry.referrers(&digest, "").await).is_empty());
    }
    let image = registry.image(1, "1").await;
    assert!(descriptors(&registry.referrers(&image.root, "").await).is_empty());
}

async fn listing_referrers_an_invalid_digest_is_400() {
    let registry = Registry::start().await;
    registry.image(1, "1").await;
    for digest in [
        "sha256:00",
        "latest",
        "sha256",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        let refused = registry.referrers(digest, "").await;
        assert_eq!(
            (refused.status, refused.error_code().as_str()),
            (400, "DIGEST_INVALID"),
            "{digest}"
        );
    }
}

/// A subject, and referrers of it: what each is, and the artifact type that it is to be listed with.
async fn referred() -> (Registry, String, Vec<(String, Value)>) {
    let registry = Registry::start().await;
    let subject = registry.image(1, "1").await;
    let config = registry.blob(&Bytes::from("{}")).await;
    let config = |of: &str| json!({"mediaType": of, "digest": config, "size": 2});
    let image = |config: Value| {
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config,
            "layers": [], "subject": subject.descriptor(), "annotations": {"org.example": "an image"}})
    };
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [],
        "subject": subject.descriptor(), "annotations": {"org.example": "an index"}});
    let typed = |mut document: Value, artifact_type: &str| {
        document["artifactType"] = artifact_type.into();
        document
    };
    let mut expected = Vec::new();
    for (document, artifact_type) in [
        (
            typed(image(config(media_type::OCI_EMPTY)), "example/one"),
            json!("example/one"),
        ),
        (image(config("example/config")), json!("example/config")),
        (
            typed(image(config("example/config")), ""),
            json!("example/config"),
        ),
        (typed(index.clone(), "example/one"), json!("example/one")),
        (index.clone(), Value::Null),
        (typed(index.clone(), ""), Value::Null),
    ] {
        let body = document.to_string();
        registry.document(&sha256(body.as_bytes()), &document).await;
        let listed = json!({"mediaType": document["mediaType"], "size": body.len(),
            "artifactType": artifact_type, "annotations": document["annotations"]});
        expected.push((sha256(body.as_bytes()), listed));
    }
    (registry, subject.root, expected)
}

async fn listing_referrers_descriptors_have_artifact_type_and_annotations() {
    let (registry, subject, expected) = referred().await;
    let listed = descriptors(&registry.referrers(&subject, "").await);
    assert_eq!(listed.len(), expected.len());
    for (digest, expected) in expected {
        let found = listed.iter().find(|found| found["digest"] == digest);
        let found = found.expect("it is listed");
        for member in ["mediaType", "size", "artifactType", "annotations"] {
            assert_eq!(found[member], expected[member], "{member} of {found}");
        }
        // Omitted, not null.
        assert!(
            found
                .as_object()
                .is_some_and(|object| !object.values().any(Value::is_null))
        );
    }
}

async fn listing_referrers_are_of_this_repository_alone() {
    let (registry, subject, _) = referred().await;
    let other = registry
        .get(&format!("/v2/team/clauses/other/referrers/{subject}"))
        .await;
    assert!(descriptors(&other).is_empty());
}

async fn listing_referrers_filters_by_artifact_type_and_says_so() {
    let (registry, subject, expected) = referred().await;
    for wanted in ["example/one", "example/config", "example/nothing"] {
        let filtered = registry
            .referrers(&subject, &format!("?artifactType={wanted}"))
            .await;
        assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
        let matching = expected
            .iter()
            .filter(|(_, listed)| listed["artifactType"] == wanted);
        let mut matching: Vec<Value> = matching.map(|(digest, _)| json!(digest)).collect();
        matching.sort_by_key(ToString::to_string);
        let mut found: Vec<Value> = descriptors(&filtered)
            .iter()
            .map(|found| found["digest"].clone())
            .collect();
        found.sort_by_key(ToString::to_string);
        assert_eq!(found, matching, "{wanted}");
    }
    let all = registry.referrers(&subject, "").await;
    assert!(!all.headers.contains_key("oci-filters-applied"));
}

async fn listing_referrers_more_than_one_manifest_holds_have_a_link() {
    let registry = Registry::start().await;
    let [subject, _] = absent();
    let mut pushed = Vec::new();
    for n in 0..5 {
        let document = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [],
            "artifactType": "example/long", "annotations": {"n": n.to_string(), "long": "x".repeat(1 << 20)},
            "subject": {"mediaType": media_type::OCI_MANIFEST, "digest": subject, "size": 7}});
        pushed.push(
            registry
                .document(&sha256(document.to_string().as_bytes()), &document)
                .await,
        );
    }
    pushed.sort();
    for query in ["", "?artifactType=example%2Flong"] {
        let first = registry.referrers(&subject, query).await;
        let next = next_of(&first).expect("a second page");
        let second = registry.get(&next).await;
        assert_eq!(next_of(&second), None);
        let pages = [&first, &second];
        assert!(pages.iter().all(|page| page.body.len() <= (4 << 20) + 1000));
        let mut found: Vec<Value> = pages.map(descriptors).concat();
        found.sort_by_key(|found| found["digest"].to_string());
        let digests: Vec<&Value> = found.iter().map(|found| &found["digest"]).collect();
        assert_eq!(digests, pushed.iter().collect::<Vec<_>>());
    }
}
