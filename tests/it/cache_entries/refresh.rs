use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_asks_now_and_brings_what_is_new() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    let moved = ImageBuilder::new(2).layer(KIB).build();
    scene.remote.put_image("app", "latest", &moved);
    let (digest, outcome) = scene.pull("app", "latest").await.expect("it is here");
    assert_eq!((digest, outcome), (scene.image.root.clone(), Outcome::Hit));
    let entry = scene
        .refresh("app", "latest")
        .await
        .expect("the remote has it");
    assert_eq!(entry.digest.to_string(), moved.root);
    assert_eq!(entry.state, EntryState::Fresh);
    scene.remote.forget_requests();
    let (digest, outcome) = scene.pull("app", "latest").await.expect("it is here");
    assert_eq!((digest, outcome), (moved.root.clone(), Outcome::Hit));
    assert_eq!(scene.remote.count(On::any()), 0);
    // Unchanged: one HEAD.
    scene
        .refresh("app", "latest")
        .await
        .expect("the remote has it");
    assert_eq!(scene.remote.count(On::manifest().head()), 1);
    assert_eq!(scene.remote.count(On::manifest().get()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_forgets_that_a_tag_was_not_there() {
    let scene = Scene::new("negative_ttl = \"1h\"").await;
    assert!(matches!(
        scene.pull("app", "new").await,
        Err(MirrorError::NotFound(_))
    ));
    scene.remote.tag("app", "new", &scene.image.root);
    assert!(matches!(
        scene.pull("app", "new").await,
        Err(MirrorError::NotFound(_))
    ));
    let entry = scene
        .refresh("app", "new")
        .await
        .expect("the remote has it");
    assert_eq!(entry.digest.to_string(), scene.image.root);
    scene.pull("app", "new").await.expect("it is here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_does_not_join_a_question_from_before_it() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene.purge("app", "latest").await;
    scene.remote.forget_requests();
    let hold = scene.remote.hold(On::manifest());
    let (mirror, repository) = (scene.mirror.clone(), scene.repository("app"));
    let latest: Reference = "latest".parse().expect("a tag");
    let before = tokio::spawn(async move { mirror.get_manifest(&repository, &latest).await });
    hold.reached(1).await;
    // Of two questions in one millisecond none is the later one.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let moved = ImageBuilder::new(2).layer(KIB).build();
    scene.remote.put_image("app", "latest", &moved);
    let refresh = scene.refresh("app", "latest");
    let release = async {
        hold.reached(2).await;
        hold.release();
    };
    let (entry, ()) = tokio::join!(refresh, release);
    before.await.expect("no panic").expect("the remote has it");
    let entry = entry.expect("the remote has it");
    assert_eq!(entry.digest.to_string(), moved.root);
    assert_eq!(
        scene.remote.count(On::manifest().get().reference("latest")),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_of_a_deleted_tag_forgets_it_unless_it_is_kept() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene.remote.delete_tag("app", "latest");
    let refreshed = scene.refresh("app", "latest").await;
    assert!(
        matches!(refreshed, Err(MirrorError::NotFound(_))),
        "{refreshed:?}"
    );
    assert!(scene.entry("app", "latest").await.is_none());
    assert!(scene.entry("app", &scene.image.root).await.is_some());

    let scene = Scene::new("keep_deleted = true").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene.remote.delete_tag("app", "latest");
    let entry = scene.refresh("app", "latest").await.expect("it is kept");
    assert_eq!(entry.state, EntryState::Stale);
    let (_, outcome) = scene.pull("app", "latest").await.expect("it is kept");
    assert_eq!(outcome, Outcome::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_refused_keeps_the_tag_and_withholds_it() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene
        .remote
        .fault_always(On::manifest(), Fault::status(403));
    let refused = |answer: &Result<_, _>| matches!(answer, Err(MirrorError::Refused(_)));
    assert!(refused(&scene.refresh("app", "latest").await.map(drop)));
    assert!(refused(&scene.pull("app", "latest").await.map(drop)));
    let entry = scene.entry("app", "latest").await.expect("it is kept");
    assert_eq!(entry.state, EntryState::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_in_an_outage_leaves_all_as_it_was() {
    let scene = Scene::new("").await;
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    scene.remote.stop().await;
    assert!(scene.refresh("app", "latest").await.is_err());
    assert!(scene.refresh("app", "none").await.is_err());
    let entry = scene.entry("app", "latest").await.expect("it is here");
    assert_eq!(entry.state, EntryState::Fresh);
    scene.pull("app", "latest").await.expect("it is here");
}
