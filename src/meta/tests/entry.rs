//! What is cached, page by page and part by part.

use super::*;

on_both! {
    tags_come_by_repository_and_then_by_tag,
    tags_are_counted_by_project,
    a_manifest_says_when_it_came_and_what_it_names,
    a_manifest_is_kept_by_a_tag_an_index_or_a_pin,
}

async fn tags_come_by_repository_and_then_by_tag(database: Database) {
    let meta = &database.meta;
    let mut expected = Vec::new();
    for repository in ["p", "p-x/r", "p/a", "p/a-b", "p/a/c"] {
        for text in ["1", "B", "a"] {
            let row = row("image", 1);
            meta.tag_put(&name(repository), &tag(text), row)
                .await
                .unwrap();
            if repository != "p-x/r" {
                expected.push((name(repository), tag(text)));
            }
        }
    }
    // Nothing in it has a tag.
    meta.manifest_commit(commit("p/a-a", "image"))
        .await
        .unwrap();
    let projects = ["p".to_owned()];
    for limit in [1, 2, 3, 5, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = meta
                .tag_page(&projects, after.as_ref(), limit)
                .await
                .unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            seen.extend(page);
        }
        assert_eq!(seen, expected, "{limit}");
    }
    assert_eq!(meta.tag_page(&[], None, 10).await.unwrap(), []);
}

async fn tags_are_counted_by_project(database: Database) {
    let meta = &database.meta;
    let tags = [
        ("p", "1"),
        ("p/r", "1"),
        ("p/r", "2"),
        ("p-q/r", "1"),
        ("q", "1"),
    ];
    for (repository, text) in tags {
        meta.tag_put(&name(repository), &tag(text), row("one", 1))
            .await
            .unwrap();
    }
    for (projects, expected) in [
        (&["p"][..], 3),
        (&["p-q"], 1),
        (&["p", "q"], 4),
        (&["none"], 0),
        (&[], 0),
    ] {
        let projects: Vec<String> = projects.iter().map(ToString::to_string).collect();
        assert_eq!(
            meta.tag_count(&projects).await.unwrap(),
            expected,
            "{projects:?}"
        );
    }
}

async fn a_manifest_says_when_it_came_and_what_it_names(database: Database) {
    let meta = &database.meta;
    let (repository, image) = (name("p/r"), digest("image"));
    assert_eq!(meta.manifest_held(&repository, &image).await.unwrap(), None);
    let mut committed = commit("p/r", "image");
    committed.manifest.blobs = vec![
        descriptor("linked", Some(10)),
        descriptor("elsewhere", Some(20)),
        descriptor("nowhere", None),
    ];
    committed.manifest.manifests = vec![descriptor("child", Some(30))];
    committed.manifest.subject = Some(descriptor("subject", Some(40)));
    meta.manifest_commit(committed).await.unwrap();
    for (repository, blob, size) in [("p/r", "linked", 11), ("p/other", "elsewhere", 21)] {
        let repositories = [name(repository)];
        meta.blob_link(&repositories, &digest(blob), size)
            .await
            .unwrap();
    }
    let held = meta
        .manifest_held(&repository, &image)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((held.size_bytes, held.seeded), (123, false));
    assert!(held.created_at.elapsed().unwrap() < Duration::from_mins(1));

    let part = |content: &str, kind, stated, stored, is_linked| Part {
        digest: digest(content),
        kind,
        media_type: "application/layer".into(),
        size_bytes: stated,
        stored_bytes: stored,
        is_linked,
    };
    let mut expected = vec![
        part("linked", PartKind::Blob, Some(10), Some(11), true),
        part("elsewhere", PartKind::Blob, Some(20), Some(21), false),
        part("nowhere", PartKind::Blob, None, None, false),
        part("child", PartKind::Manifest, Some(30), None, false),
    ];
    expected.sort_by_key(|part| part.digest.to_string());
    let parts = meta.manifest_parts(&repository, &image).await.unwrap();
    assert_eq!(parts, expected);
    let other = name("p/other");
    assert_eq!(meta.manifest_parts(&other, &image).await.unwrap(), []);
}

async fn a_manifest_is_kept_by_a_tag_an_index_or_a_pin(database: Database) {
    let meta = &database.meta;
    let (repository, image) = (name("p/r"), digest("image"));
    let kept = async || meta.manifest_kept(&repository, &image).await.unwrap();
    meta.manifest_commit(commit("p/r", "image")).await.unwrap();
    assert!(!kept().await);

    meta.tag_put(&repository, &tag("one"), row("image", 1))
        .await
        .unwrap();
    assert!(kept().await);
    meta.tag_delete(&repository, &tag("one")).await.unwrap();
    assert!(!kept().await);

    let mut index = commit("p/r", "index");
    index.manifest.manifests = vec![descriptor("image", None)];
    meta.manifest_commit(index).await.unwrap();
    assert!(kept().await);
    meta.image_delete(&repository, &digest("index"), Removal::Purge)
        .await
        .unwrap();
    // A referrer goes with its subject, not the other way round.
    let mut referrer = commit("p/r", "referrer");
    referrer.manifest.subject = Some(descriptor("image", None));
    meta.manifest_commit(referrer).await.unwrap();
    assert!(!kept().await);

    let by_digest = crate::oci::Reference::Digest(image.clone());
    meta.pin_put(&repository, &by_digest).await.unwrap();
    assert!(kept().await);
}
