use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_tag_takes_its_image_along_unless_something_else_wants_it() {
    let scene = Scene::new("").await;
    let root = scene.image.root.clone();
    for tag in ["latest", "1", "2"] {
        scene.remote.tag("app", tag, &root);
        scene.pull_all("app", tag, &scene.image).await;
    }
    assert!(!scene.purge("app", "none").await);
    assert!(scene.purge("app", "latest").await);
    assert!(scene.entry("app", "latest").await.is_none());
    assert!(scene.entry("app", &root).await.expect("it stays").complete);
    let reference: Reference = root.parse().expect("a digest");
    let repository = scene.repository("app");
    scene
        .mirror
        .pin(&repository, &reference)
        .await
        .expect("a row");
    assert!(scene.purge("app", "1").await && scene.purge("app", "2").await);
    assert!(
        scene
            .entry("app", &root)
            .await
            .expect("it is pinned")
            .pinned
    );
    assert!(
        scene
            .mirror
            .unpin(&repository, &reference)
            .await
            .expect("a row")
    );

    scene.pull("app", "1").await.expect("the remote has it");
    assert!(scene.purge("app", "1").await);
    assert!(scene.entry("app", &root).await.is_none());
    for digest in scene.image.blobs.keys().chain([&root]) {
        assert!(!scene.is_stored(digest).await, "{digest}");
    }
    scene.remote.forget_requests();
    let (_, outcome) = scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    assert_eq!(outcome, Outcome::Miss);
    assert_eq!(scene.remote.count(On::manifest().get()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_by_digest_takes_all_tags_and_leaves_shared_layers() {
    let scene = Scene::new("").await;
    let [one, two] = [11, 12].map(|seed| {
        ImageBuilder::new(seed)
            .layer(KIB)
            .shared_layer(99, KIB)
            .build()
    });
    for (tag, image) in [("1", &one), ("one", &one), ("2", &two)] {
        scene.remote.put_image("app", tag, image);
        scene.pull_all("app", tag, image).await;
    }
    assert!(scene.purge("app", &one.root).await);
    assert!(!scene.purge("app", &one.root).await);
    for tag in ["1", "one"] {
        assert!(scene.entry("app", tag).await.is_none());
    }
    assert!(scene.entry("app", "2").await.expect("it stays").complete);
    for (digest, stays) in [(&one.layers()[0], false), (&one.layers()[1], true)] {
        assert_eq!(scene.is_stored(digest).await, stays);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_there_until_it_is_taken_away_and_may_come_first() {
    let scene = Scene::new("").await;
    let repository = scene.repository("app");
    let [tag, digest] = ["latest", scene.image.root.as_str()]
        .map(|reference| reference.parse::<Reference>().expect("a reference"));
    let mirror = &scene.mirror;
    for _ in 0..2 {
        mirror.pin(&repository, &tag).await.expect("a row");
    }
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    for reference in ["latest", scene.image.root.as_str()] {
        assert!(
            scene
                .entry("app", reference)
                .await
                .expect("it is here")
                .pinned
        );
    }
    assert!(mirror.unpin(&repository, &tag).await.expect("a row"));
    assert!(!mirror.unpin(&repository, &tag).await.expect("a row"));
    assert!(
        !scene
            .entry("app", "latest")
            .await
            .expect("it is here")
            .pinned
    );
    mirror.pin(&repository, &digest).await.expect("a row");
    assert!(
        scene
            .entry("app", "latest")
            .await
            .expect("it is here")
            .pinned
    );
}
