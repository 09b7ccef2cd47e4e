use super::*;

fn digests(missing: &[Missing], kind: MissingKind) -> Vec<String> {
    let of_kind = missing.iter().filter(|part| part.kind == kind);
    let mut digests: Vec<_> = of_kind.map(|part| part.digest.to_string()).collect();
    digests.sort();
    digests
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_which_one_platform_was_pulled_is_incomplete() {
    let scene = Scene::new("").await;
    assert!(scene.entry("app", "latest").await.is_none());
    scene
        .pull("app", "latest")
        .await
        .expect("the remote has it");
    let children = scene.image.children();
    let entry = scene.entry("app", "latest").await.expect("it was pulled");
    assert_eq!(entry.digest.to_string(), scene.image.root);
    assert_eq!(
        entry.size_bytes,
        scene.image.root_manifest().bytes.len() as u64
    );
    let mut expected = children.clone();
    expected.sort();
    assert_eq!(digests(&entry.missing, MissingKind::Manifest), expected);
    let mut platforms: Vec<_> = entry
        .missing
        .iter()
        .map(|part| part.platform.clone())
        .collect();
    platforms.sort();
    let wanted = ["linux/amd64", "linux/arm64"].map(|platform| Some(platform.to_owned()));
    assert_eq!(platforms, wanted);
    assert!(entry.missing.iter().all(|part| part.size_bytes.is_some()));

    let first = &scene.image.manifests[0];
    scene
        .pull("app", &first.digest)
        .await
        .expect("the remote has it");
    let entry = scene
        .entry("app", &first.digest)
        .await
        .expect("it was pulled");
    let mut blobs = scene.image.layers();
    blobs.push(scene.image.config());
    blobs.sort();
    assert!(!entry.complete);
    assert_eq!(digests(&entry.missing, MissingKind::Blob), blobs);
    let entry = scene.entry("app", "latest").await.expect("it was pulled");
    let of_first = |part: &&Missing| part.kind == MissingKind::Blob;
    for part in entry.missing.iter().filter(of_first) {
        assert_eq!(part.platform.as_deref(), Some("linux/amd64"));
    }

    scene.pull_first_platform("app", &scene.image).await;
    let entry = scene
        .entry("app", &first.digest)
        .await
        .expect("it was pulled");
    assert!(entry.complete && entry.missing.is_empty());
    let entry = scene.entry("app", "latest").await.expect("it was pulled");
    assert!(!entry.complete);
    let missing = digests(&entry.missing, MissingKind::Manifest);
    assert_eq!(
        (missing, entry.missing.len()),
        (vec![children[1].clone()], 1)
    );
    assert_eq!(entry.missing[0].platform.as_deref(), Some("linux/arm64"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_image_says_its_size_its_times_and_that_it_is_complete() {
    let scene = Scene::new("").await;
    scene.pull_all("app", "latest", &scene.image).await;
    scene.meta.flush_uses().await.expect("rows can be written");
    let entry = scene.entry("app", "latest").await.expect("it was pulled");
    let manifests = scene.image.manifests.iter();
    let manifests: u64 = manifests.map(|manifest| manifest.bytes.len() as u64).sum();
    assert_eq!(entry.size_bytes, manifests + scene.image.blob_bytes());
    assert!(entry.complete && entry.missing.is_empty() && !entry.pinned);
    assert_eq!(entry.state, EntryState::Fresh);
    assert!(entry.filled_at.is_some() && entry.checked_at.is_some());
    assert!(entry.used_at >= entry.filled_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_is_a_use_and_a_head_is_none() {
    let scene = Scene::new("").await;
    scene.pull_all("app", "latest", &scene.image).await;
    let repository = scene.repository("app");
    let used_at = async || {
        scene.meta.flush_uses().await.expect("rows can be written");
        let entry = scene.entry("app", "latest").await;
        entry.and_then(|entry| entry.used_at).expect("it was used")
    };
    let first = used_at().await;
    // Times are kept to the millisecond.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let latest: Reference = "latest".parse().expect("a tag");
    let layer: Digest = scene.image.layers()[0].parse().expect("a digest");
    let mirror = &scene.mirror;
    let head = mirror.head_manifest(&repository, &latest).await;
    let head_blob = mirror.head_blob(&repository, &layer).await;
    assert!(head.is_ok() && head_blob.is_ok());
    assert_eq!(used_at().await, first);
    scene.pull_blob("app", &layer.to_string()).await;
    let second = used_at().await;
    assert!(second > first);
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    scene.pull("app", "latest").await.expect("it is here");
    assert!(used_at().await > second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_tags_is_parsed_once() {
    let scene = Scene::new("").await;
    let repository = scene.repository("app");
    let list = async || {
        scene
            .mirror
            .list_tags(&repository)
            .await
            .expect("the remote has it")
    };
    let (first, second) = (list().await, list().await);
    assert_eq!(second.outcome, Outcome::Hit);
    assert!(Arc::ptr_eq(&first.content, &second.content));
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_layers_are_not_missed() {
    let scene = Scene::new("").await;
    let image = ImageBuilder::new(5)
        .layer(KIB)
        .foreign_layer("http://elsewhere.example/layer", 9)
        .build();
    scene.remote.put_image("windows", "1", &image);
    scene.pull("windows", "1").await.expect("the remote has it");
    for digest in image.blobs.keys() {
        scene.pull_blob("windows", digest).await;
    }
    scene.settled().await;
    let entry = scene.entry("windows", "1").await.expect("it was pulled");
    assert!(entry.complete, "{:?}", entry.missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_come_page_by_page_by_name_and_tag() {
    let scene = Scene::new("").await;
    let mut expected = Vec::new();
    for name in ["a", "a-b", "a/x", "b"] {
        for tag in ["1", "2", "B", "a"] {
            scene.remote.put_image(name, tag, &scene.image);
            scene.pull(name, tag).await.expect("the remote has it");
            expected.push((format!("r/{name}"), tag.to_owned()));
        }
    }
    // Of this one no tag is here.
    scene.remote.put_image("a-a", "1", &scene.image);
    scene
        .pull("a-a", &scene.image.root)
        .await
        .expect("the remote has it");
    for limit in [1, 3, 4, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let projects = ["r".to_owned(), "none".to_owned()];
            let page = scene.mirror.entries(&projects, after.clone(), limit).await;
            let page = page.expect("rows can be read");
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            let Reference::Tag(tag) = last.reference.clone() else {
                panic!("entries are tags");
            };
            after = Some((last.name.clone(), tag));
            seen.extend(page.iter().map(|entry| {
                assert_eq!(entry.digest.to_string(), scene.image.root);
                (entry.name.to_string(), entry.reference.to_string())
            }));
        }
        assert_eq!(seen, expected, "{limit}");
    }
    let none = scene.mirror.entries(&["x".to_owned()], None, 10).await;
    assert!(none.expect("rows can be read").is_empty());
}
