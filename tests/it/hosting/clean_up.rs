//! What nothing names any more goes, after its grace; what is on its way stays.

use bytes::Bytes;
use serde_json::json;

use crate::{
    harness::{ImageBuilder, sha256},
    push::{Pusher, setup},
    server::on_both,
};

on_both!(what_nothing_names_goes_and_what_is_named_stays);

async fn what_nothing_names_goes_and_what_is_named_stays() {
    // A push may take no time at all here: what is left of one goes at once.
    let server = setup("")
        .section("[upkeep]\norphan_grace = \"0s\"")
        .variable("ENTREPOT__STORAGE__SPOOL_MAX_AGE", "0s")
        .start()
        .await;
    let pusher = Pusher::of(&server);
    let kept = ImageBuilder::new(1)
        .layer(3000)
        .shared_layer(9, 500)
        .build();
    let deleted = ImageBuilder::new(2)
        .layer(3000)
        .shared_layer(9, 500)
        .build();
    for (tag, image) in [("kept", &kept), ("deleted", &deleted)] {
        // Clean-up may run at any time; until a manifest names them they are nobody's.
        while !try_image(&pusher, tag, image).await {}
    }
    assert_eq!(
        pusher
            .delete_manifest("team/app", &deleted.root)
            .await
            .status,
        202
    );
    pusher.upkeep("orphans").await;
    for digest in kept.blobs.keys() {
        assert!(pusher.has_blob("team/app", digest).await);
    }
    for digest in deleted
        .blobs
        .keys()
        .filter(|digest| !kept.blobs.contains_key(*digest))
    {
        assert!(!pusher.has_blob("team/app", digest).await, "{digest}");
    }
    let nothing = json!({"links": 0, "blobs": 0, "bytes": 0});
    assert_eq!(pusher.upkeep("orphans").await, nothing);
}

async fn try_image(pusher: &Pusher, tag: &str, image: &crate::harness::Image) -> bool {
    for bytes in image.blobs.values() {
        pusher.blob("team/app", bytes).await;
    }
    let root = image.root_manifest();
    let (media_type, bytes) = (&root.media_type, root.bytes.clone());
    let pushed = pusher.manifest("team/app", tag, media_type, bytes).await;
    pushed.status == 201
}

#[tokio::test]
async fn what_somebody_was_just_told_of_stays_for_another_grace() {
    let server = setup("")
        .section("[upkeep]\norphan_grace = \"1h\"")
        .start()
        .await;
    let pusher = Pusher::of(&server);
    let digest = pusher
        .blob("team/app", &Bytes::from("pushed, not named yet"))
        .await;
    let session = pusher.session("team/app").await;
    pusher.patch(&session, None, Bytes::from("half")).await;
    let nothing = json!({"links": 0, "blobs": 0, "bytes": 0});
    assert_eq!(pusher.upkeep("orphans").await, nothing);
    assert!(pusher.has_blob("team/app", &digest).await);
    let whole = Bytes::from("half of it");
    let finished = pusher
        .finish(&session, &sha256(&whole), Bytes::from(" of it"))
        .await;
    assert_eq!(finished.status, 201);
}
