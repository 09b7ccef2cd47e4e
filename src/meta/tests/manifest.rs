//! Manifests and what they reference.

use std::collections::BTreeMap;

use super::*;

on_both! {
    a_commit_makes_manifest_references_and_tag_visible_and_repeats_are_harmless,
    a_reference_counts_in_its_repository_and_as_its_kind_only,
    of_several_parents_one_that_states_a_size_is_taken,
    referrers_are_descriptors_with_artifact_type_and_annotations,
    a_deleted_referrer_is_no_longer_listed,
    a_deleted_manifest_takes_its_tags_references_and_unused_blob_with_it,
}

async fn a_commit_makes_manifest_references_and_tag_visible_and_repeats_are_harmless(
    database: Database,
) {
    let meta = &database.meta;
    let (repository, latest) = (name("p/r"), tag("latest"));
    let mut image = commit("p/r", "image");
    image.manifest.blobs = vec![descriptor("config", Some(10)), descriptor("layer", None)];
    image.manifest.manifests = vec![descriptor("child", Some(30))];
    image.tag = Some((latest.clone(), at(1)));
    assert_eq!(
        meta.manifest(&repository, &image.digest).await.unwrap(),
        None
    );
    meta.manifest_commit(image.clone()).await.unwrap();
    let first = meta
        .manifest(&repository, &image.digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.digest, image.digest);
    assert_eq!(
        (first.media_type.as_str(), first.size_bytes),
        ("application/manifest", 123)
    );
    assert!(first.created_at.elapsed().unwrap() < Duration::from_mins(1));
    meta.manifest_commit(image.clone()).await.unwrap();
    let second = meta
        .manifest(&repository, &image.digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first, second);

    let config = meta
        .blob_referenced(&repository, &digest("config"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(config.size_bytes, Some(10));
    assert_eq!(config.media_type, "application/layer");
    let layer = meta
        .blob_referenced(&repository, &digest("layer"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(layer.size_bytes, None);
    let child = meta
        .manifest_referenced(&repository, &digest("child"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(child.size_bytes, Some(30));
    assert_eq!(meta.blob_size(&image.digest).await.unwrap(), Some(123));
    let tag = meta.tag(&repository, &latest).await.unwrap().unwrap();
    assert_eq!(tag.target.digest, image.digest);
    assert_eq!(tag.target.media_type, "application/manifest");
    assert_eq!((tag.target.size_bytes, tag.checked_at), (123, at(1)));
    let mut outside = database.outside().await;
    let count = count(&mut outside, "SELECT COUNT(*) FROM reference").await;
    assert_eq!(count, 3);
}

async fn a_reference_counts_in_its_repository_and_as_its_kind_only(database: Database) {
    let meta = &database.meta;
    let mut image = commit("p/r", "image");
    image.manifest.blobs = vec![descriptor("layer", Some(1))];
    image.manifest.manifests = vec![descriptor("child", Some(1))];
    meta.manifest_commit(image).await.unwrap();
    let (here, other) = (name("p/r"), name("p/other"));
    assert_eq!(
        meta.blob_referenced(&other, &digest("layer"))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        meta.manifest_referenced(&here, &digest("layer"))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        meta.blob_referenced(&here, &digest("child")).await.unwrap(),
        None
    );
    let mut referrer = commit("p/r", "signature");
    referrer.manifest.subject = Some(descriptor("subject", Some(1)));
    meta.manifest_commit(referrer).await.unwrap();
    assert_eq!(
        meta.manifest_referenced(&here, &digest("subject"))
            .await
            .unwrap(),
        None
    );
    // Named is not linked.
    assert!(!meta.blob_linked(&here, &digest("layer")).await.unwrap());
}

async fn of_several_parents_one_that_states_a_size_is_taken(database: Database) {
    let meta = &database.meta;
    for (parent, size) in [("a", None), ("b", Some(5)), ("c", None)] {
        let mut image = commit("p/r", parent);
        image.manifest.blobs = vec![descriptor("layer", size)];
        meta.manifest_commit(image).await.unwrap();
    }
    let layer = meta
        .blob_referenced(&name("p/r"), &digest("layer"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(layer.size_bytes, Some(5));
}

async fn referrers_are_descriptors_with_artifact_type_and_annotations(database: Database) {
    let meta = &database.meta;
    let subject = digest("subject");
    let annotations = BTreeMap::from([("key".to_owned(), "välue".to_owned())]);
    for content in ["signature", "sbom"] {
        let mut referrer = commit("p/r", content);
        referrer.manifest.subject = Some(descriptor("subject", Some(9)));
        referrer.manifest.artifact_type = Some("application/sig".into());
        referrer.manifest.annotations = (content == "sbom").then(|| annotations.clone());
        meta.manifest_commit(referrer).await.unwrap();
    }
    meta.manifest_commit(commit("p/r", "no referrer"))
        .await
        .unwrap();
    let referrers = meta
        .manifest_referrers(&name("p/r"), &subject)
        .await
        .unwrap();
    let referrer = |content: &str, annotations| Descriptor {
        media_type: "application/manifest".into(),
        digest: digest(content),
        size: Some(123),
        artifact_type: Some("application/sig".into()),
        annotations,
        other: serde_json::Map::new(),
    };
    let mut expected = vec![
        referrer("signature", None),
        referrer("sbom", Some(annotations)),
    ];
    expected.sort_by(|a, b| a.digest.cmp(&b.digest));
    assert_eq!(referrers, expected);
    assert_eq!(
        meta.manifest_referrers(&name("p/x"), &subject)
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        meta.manifest_referrers(&name("p/r"), &digest("image"))
            .await
            .unwrap(),
        []
    );
}

async fn a_deleted_referrer_is_no_longer_listed(database: Database) {
    let meta = &database.meta;
    let mut referrer = commit("p/r", "signature");
    referrer.manifest.subject = Some(descriptor("subject", Some(9)));
    meta.manifest_commit(referrer).await.unwrap();
    meta.image_delete(&name("p/r"), &digest("signature"), Removal::Purge)
        .await
        .unwrap();
    let referrers = meta
        .manifest_referrers(&name("p/r"), &digest("subject"))
        .await
        .unwrap();
    assert_eq!(referrers, []);
}

async fn a_deleted_manifest_takes_its_tags_references_and_unused_blob_with_it(database: Database) {
    let meta = &database.meta;
    let repository = name("p/r");
    let (one, two, other) = (tag("one"), tag("two"), tag("other"));
    for name in [&one, &two] {
        let mut image = commit("p/r", "image");
        image.manifest.blobs = vec![descriptor("layer", Some(1))];
        image.tag = Some((name.clone(), at(1)));
        meta.manifest_commit(image).await.unwrap();
    }
    meta.manifest_commit(commit("p/elsewhere", "image"))
        .await
        .unwrap();
    meta.tag_put(&repository, &other, row("another", 1))
        .await
        .unwrap();
    // All in the caches.
    assert!(meta.tag(&repository, &one).await.unwrap().is_some());
    assert!(
        meta.manifest(&repository, &digest("image"))
            .await
            .unwrap()
            .is_some()
    );

    meta.image_delete(&repository, &digest("image"), Removal::Purge)
        .await
        .unwrap();
    assert_eq!(
        meta.manifest(&repository, &digest("image")).await.unwrap(),
        None
    );
    assert_eq!(meta.tag(&repository, &one).await.unwrap(), None);
    assert_eq!(meta.tag(&repository, &two).await.unwrap(), None);
    assert!(meta.tag(&repository, &other).await.unwrap().is_some());
    assert_eq!(
        meta.blob_referenced(&repository, &digest("layer"))
            .await
            .unwrap(),
        None
    );
    // The other repository still has it.
    assert_eq!(meta.blob_size(&digest("image")).await.unwrap(), Some(123));
    meta.image_delete(&name("p/elsewhere"), &digest("image"), Removal::Purge)
        .await
        .unwrap();
    assert_eq!(meta.blob_size(&digest("image")).await.unwrap(), None);
    meta.image_delete(&repository, &digest("image"), Removal::Purge)
        .await
        .unwrap();
}
