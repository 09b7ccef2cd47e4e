//! Events: written with the change, and for what means something.

use super::*;

on_both! {
    a_push_tells_of_each_tag_and_of_a_manifest_without_one,
    a_delete_tells_of_the_tags_that_go,
    a_fill_tells_when_the_last_blob_of_an_image_is_here,
    a_fill_tells_of_the_index_above_the_image,
    a_tag_that_moves_to_what_is_here_is_told_and_one_that_stays_is_not,
    foreign_layers_are_not_waited_for,
    events_go_when_every_rule_has_seen_them,
}

/// kind, tag, what it points to
type Told = (EventKind, Option<String>, Digest);

async fn told(meta: &Meta) -> Vec<Told> {
    let events = meta.events_after(0, 100).await.unwrap();
    let told = events.into_iter().map(|event| {
        let tag = event.tag.map(|tag| tag.to_string());
        (event.kind, tag, event.digest)
    });
    told.collect()
}

async fn push(meta: &Meta, content: &str, tags: &[&str]) {
    let push = ManifestPush {
        commit: commit("p/r", content),
        tags: tags.iter().map(|text| tag(text)).collect(),
        fixed: Vec::new(),
        blobs: Vec::new(),
        manifests: Vec::new(),
        seeded: false,
        pushed_by: None,
        version: None,
        object: None,
    };
    assert_eq!(
        meta.manifest_push(push).await.unwrap(),
        ManifestPushed::Done
    );
}

/// What a mirror fetches: a manifest that names these blobs.
async fn fetch(meta: &Meta, content: &str, blobs: &[&str], at_tag: Option<&str>) {
    let mut commit = commit("m/r", content);
    commit.manifest.blobs = blobs.iter().map(|blob| descriptor(blob, Some(1))).collect();
    commit.tag = at_tag.map(|text| (tag(text), SystemTime::now()));
    meta.manifest_commit(commit).await.unwrap();
}

async fn fill(meta: &Meta, blob: &str) {
    let repositories = [name("m/r")];
    meta.blob_link(&repositories, &digest(blob), 1)
        .await
        .unwrap();
}

async fn a_push_tells_of_each_tag_and_of_a_manifest_without_one(database: Database) {
    let meta = &database.meta;
    push(meta, "one", &["a", "b"]).await;
    push(meta, "two", &[]).await;
    assert_eq!(
        told(meta).await,
        [
            (EventKind::Pushed, Some("a".to_owned()), digest("one")),
            (EventKind::Pushed, Some("b".to_owned()), digest("one")),
            (EventKind::Pushed, None, digest("two")),
        ]
    );
}

async fn a_delete_tells_of_the_tags_that_go(database: Database) {
    let meta = &database.meta;
    push(meta, "one", &["a", "b"]).await;
    push(meta, "two", &["c"]).await;
    let (repository, all) = (name("p/r"), Deletable::default);
    meta.delete_tag(&repository, &tag("a"), all(), None)
        .await
        .unwrap();
    meta.delete_manifest(&repository, &digest("one"), all())
        .await
        .unwrap();
    meta.delete_tag(&repository, &tag("a"), all(), None)
        .await
        .unwrap();
    while meta.delete_some_of(&repository).await.unwrap().is_some() {}
    assert_eq!(
        told(meta).await[3..],
        [
            (EventKind::Deleted, Some("a".to_owned()), digest("one")),
            (EventKind::Deleted, Some("b".to_owned()), digest("one")),
            (EventKind::Deleted, Some("c".to_owned()), digest("two")),
        ]
    );
}

async fn a_fill_tells_when_the_last_blob_of_an_image_is_here(database: Database) {
    let meta = &database.meta;
    fetch(meta, "image", &["config", "layer"], Some("latest")).await;
    fill(meta, "layer").await;
    assert_eq!(told(meta).await, []);
    fill(meta, "config").await;
    let filled = (
        EventKind::Filled,
        Some("latest".to_owned()),
        digest("image"),
    );
    assert_eq!(told(meta).await, std::slice::from_ref(&filled));
    // Repeats tell nothing new.
    fill(meta, "config").await;
    fetch(meta, "image", &["config", "layer"], Some("latest")).await;
    assert_eq!(told(meta).await, [filled]);
}

async fn a_fill_tells_of_the_index_above_the_image(database: Database) {
    let meta = &database.meta;
    let mut index = commit("m/r", "index");
    index.manifest.kind = ManifestKind::Index;
    index.manifest.manifests = ["image", "other"]
        .map(|child| descriptor(child, Some(1)))
        .to_vec();
    index.tag = Some((tag("latest"), SystemTime::now()));
    meta.manifest_commit(index).await.unwrap();
    fetch(meta, "image", &["layer"], None).await;
    assert_eq!(told(meta).await, []);
    fill(meta, "layer").await;
    assert_eq!(
        told(meta).await,
        [(
            EventKind::Filled,
            Some("latest".to_owned()),
            digest("index")
        )]
    );
}

async fn a_tag_that_moves_to_what_is_here_is_told_and_one_that_stays_is_not(database: Database) {
    let meta = &database.meta;
    for image in ["old", "new"] {
        fetch(meta, image, &[], Some(image)).await;
    }
    let before = told(meta).await.len();
    let repository = name("m/r");
    for (content, seconds) in [("old", 1), ("old", 2), ("new", 3), ("elsewhere", 4)] {
        let row = row(content, seconds);
        meta.tag_put(&repository, &tag("moving"), row)
            .await
            .unwrap();
    }
    assert_eq!(
        told(meta).await[before..],
        [
            (EventKind::Filled, Some("moving".to_owned()), digest("old")),
            (EventKind::Filled, Some("moving".to_owned()), digest("new")),
        ]
    );
}

async fn foreign_layers_are_not_waited_for(database: Database) {
    let meta = &database.meta;
    let mut image = commit("m/r", "image");
    let mut foreign = descriptor("foreign", Some(1));
    foreign.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
    image.manifest.blobs = vec![descriptor("layer", Some(1)), foreign];
    meta.manifest_commit(image).await.unwrap();
    fill(meta, "layer").await;
    assert_eq!(
        told(meta).await,
        [(EventKind::Filled, None, digest("image"))]
    );
}

async fn events_go_when_every_rule_has_seen_them(database: Database) {
    let meta = &database.meta;
    push(meta, "one", &["a"]).await;
    let rule = super::rule::write("waits", true);
    let id = rule.id;
    assert!(meta.rule_insert(rule).await.unwrap());
    push(meta, "two", &["b"]).await;
    let later = SystemTime::now() + Duration::from_secs(1);
    assert_eq!(meta.events_expire(later).await.unwrap(), 1);
    assert_eq!(meta.events_expire(later).await.unwrap(), 0);
    assert_eq!(told(meta).await.len(), 1);
    assert!(meta.rule_delete(id).await.unwrap());
    assert_eq!(meta.events_expire(later).await.unwrap(), 1);
}
