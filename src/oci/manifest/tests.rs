use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::oci::{
    Algorithm,
    fuzz::{DIGEST, near, search},
};

fn digest(content: &str) -> Digest {
    Digest::sha256(content.as_bytes())
}

fn parse(document: &Value) -> Manifest {
    Manifest::parse(document.to_string().as_bytes())
}

fn digests(descriptors: &[Descriptor]) -> Vec<Digest> {
    descriptors
        .iter()
        .map(|descriptor| descriptor.digest.clone())
        .collect()
}

fn referenced(content: &str) -> Value {
    json!({"mediaType": "application/example", "digest": digest(content), "size": content.len()})
}

#[test]
fn an_image_manifest_names_its_config_and_layers() {
    for media_type in [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST] {
        let manifest = parse(&json!({
            "schemaVersion": 2, "mediaType": media_type, "config": referenced("config"),
            "layers": [referenced("one"), referenced("two")], "subject": referenced("subject"),
        }));
        assert_eq!(manifest.kind, ManifestKind::Manifest);
        assert_eq!(manifest.media_type.as_deref(), Some(media_type));
        assert_eq!(
            digests(&manifest.blobs),
            [digest("config"), digest("one"), digest("two")]
        );
        assert_eq!(manifest.blobs[1].size, Some(3));
        assert_eq!(manifest.subject.unwrap().digest, digest("subject"));
        assert_eq!(
            manifest.artifact_type.as_deref(),
            Some("application/example")
        );
    }
}

#[test]
fn an_index_names_manifests() {
    for media_type in [media_type::OCI_INDEX, media_type::DOCKER_LIST] {
        let manifest = parse(&json!({
            "schemaVersion": 2, "mediaType": media_type, "artifactType": "application/sbom",
            "manifests": [referenced("amd64"), referenced("arm64")],
        }));
        assert_eq!(manifest.kind, ManifestKind::Index);
        assert_eq!(
            digests(&manifest.manifests),
            [digest("amd64"), digest("arm64")]
        );
        assert_eq!(manifest.artifact_type.as_deref(), Some("application/sbom"));
        assert!(manifest.blobs.is_empty());
    }
}

#[test]
fn a_document_without_media_type_is_told_by_its_members() {
    assert_eq!(parse(&json!({"manifests": []})).kind, ManifestKind::Index);
    assert_eq!(
        parse(&json!({"config": referenced("c"), "layers": []})).kind,
        ManifestKind::Manifest
    );
    assert_eq!(
        parse(&json!({"mediaType": "application/mine", "layers": []})).kind,
        ManifestKind::Manifest
    );
}

#[test]
fn a_document_that_could_be_both_follows_its_media_type_or_is_neither() {
    let mut document = json!({"manifests": [referenced("m")], "layers": [referenced("l")]});
    assert_eq!(parse(&document).kind, ManifestKind::Other);
    document["mediaType"] = json!(media_type::OCI_INDEX);
    let index = parse(&document);
    assert_eq!((index.manifests.len(), index.blobs.len()), (1, 0));
    document["mediaType"] = json!(media_type::OCI_MANIFEST);
    let manifest = parse(&document);
    assert_eq!((manifest.manifests.len(), manifest.blobs.len()), (0, 1));
}

#[test]
fn an_artifact_manifest_names_its_blobs() {
    let manifest = parse(&json!({
        "mediaType": media_type::OCI_ARTIFACT, "artifactType": "application/x", "blobs": [referenced("b")],
    }));
    assert_eq!(manifest.kind, ManifestKind::Manifest);
    assert_eq!(digests(&manifest.blobs), [digest("b")]);
    assert_eq!(manifest.artifact_type.as_deref(), Some("application/x"));
}

#[test]
fn docker_schema_1_names_its_layers() {
    let manifest = parse(&json!({
        "schemaVersion": 1, "name": "library/old", "tag": "1", "signatures": [{}],
        "fsLayers": [{"blobSum": digest("top")}, {"blobSum": digest("base")}, {"blobSum": digest("top")}],
    }));
    assert_eq!(manifest.kind, ManifestKind::Manifest);
    assert_eq!(digests(&manifest.blobs), [digest("top"), digest("base")]);
    assert_eq!(manifest.blobs[0].size, None);
}

#[test]
fn odd_members_spoil_no_other() {
    let sha512 = Algorithm::Sha512.digest(b"long");
    let manifest = parse(&json!({
        "mediaType": media_type::OCI_MANIFEST, "config": null, "subject": "none", "artifactType": 7,
        "layers": [{"digest": "blake3:00"}, 1, null, [], {"digest": sha512, "size": -1}, {"digest": "sha256:AA"}],
        "blobs": {"not": "a list"},
    }));
    assert_eq!(digests(&manifest.blobs), [sha512]);
    assert_eq!(manifest.blobs[0].size, None);
    assert_eq!((manifest.subject, manifest.artifact_type), (None, None));
    let no_layers = parse(&json!({"config": referenced("c"), "layers": null}));
    assert_eq!(digests(&no_layers.blobs), [digest("c")]);
}

#[test]
fn each_digest_comes_once() {
    let manifest = parse(
        &json!({"config": referenced("same"), "layers": [referenced("same"), referenced("same")]}),
    );
    assert_eq!(digests(&manifest.blobs), [digest("same")]);
}

#[test]
fn any_other_document_references_nothing() {
    for bytes in [
        &b""[..],
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"{\"layers\": [",
        b"<html>",
        b"{\"schemaVersion\": 2}",
    ] {
        assert_eq!(Manifest::parse(bytes), Manifest::other(None));
    }
    let deep = format!(
        "{{\"layers\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(Manifest::parse(deep.as_bytes()).blobs, []);
}

#[test]
fn a_document_beyond_the_limit_is_not_read() {
    let mut document = json!({"manifests": [referenced("m")], "padding": ""}).to_string();
    document.push_str(&" ".repeat(Manifest::MAX_LENGTH - document.len()));
    assert_eq!(
        Manifest::parse(document.as_bytes()).kind,
        ManifestKind::Index
    );
    document.push(' ');
    assert_eq!(
        Manifest::parse(document.as_bytes()).kind,
        ManifestKind::Other
    );
}

/// One document of each shape.
fn documents() -> Vec<String> {
    let named = json!({"mediaType": "application/example", "digest": DIGEST, "size": 0});
    let other = referenced("other");
    let documents = [
        json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": "application/sbom",
            "config": named, "layers": [other, named], "subject": other, "annotations": {"a": "b"},
        }),
        json!({"schemaVersion": 2, "mediaType": media_type::DOCKER_LIST, "manifests": [named, other]}),
        json!({"schemaVersion": 2, "manifests": [], "subject": named}),
        json!({"mediaType": media_type::OCI_ARTIFACT, "blobs": [other]}),
        json!({"schemaVersion": 1, "fsLayers": [{"blobSum": DIGEST}]}),
    ];
    documents.iter().map(Value::to_string).collect()
}

#[test]
fn what_is_nearly_a_manifest_is_read_alike_by_who_mirrors_and_who_is_pushed_to() {
    let documents = documents();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    search(near(&documents), |bytes| {
        let lenient = Manifest::parse(&bytes);
        for list in [&lenient.manifests, &lenient.blobs] {
            let digests: HashSet<_> = list.iter().map(|descriptor| &descriptor.digest).collect();
            prop_assert_eq!(digests.len(), list.len());
        }
        prop_assert!(lenient.manifests.is_empty() || lenient.blobs.is_empty());
        if let Ok((strict, media_type)) = Manifest::check(&bytes, None) {
            prop_assert_eq!(lenient.media_type.as_deref(), Some(media_type.as_str()));
            if ManifestKind::of(&media_type) != ManifestKind::Other {
                prop_assert_eq!(strict, lenient);
            }
        }
        Ok(())
    });
}
