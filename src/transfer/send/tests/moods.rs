//! Uploads through what destinations and ways to them do.

use std::time::Duration;

use super::*;

const MIB: usize = 1 << 20;

fn bytes(length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from(at * 31 % 251).unwrap();
    (0..length).map(byte).collect()
}

/// A scene whose source has an image with one large layer.
async fn with_layer(layer: &[u8]) -> Scene {
    let scene = Scene::new().await;
    scene
        .source
        .tag("1", &image(&scene.source, "amd64", &[layer]));
    scene
}

impl Scene {
    async fn sends_all_of(&self, layer: &[u8]) {
        assert_eq!(self.outcome(&order("1")).await, Outcome::Sent);
        assert!(self.registry.has_blob("to/app", layer));
        let counted = self.progress.read();
        assert_eq!(
            counted.bytes_sent + counted.bytes_skipped,
            counted.bytes_total
        );
    }
}

#[tokio::test]
async fn a_source_that_breaks_is_not_noticed_by_the_destination() {
    let layer = bytes(2 * MIB);
    let scene = with_layer(&layer).await;
    scene.source.breaks_after(&[100_000, 0, 1_000_000]);
    scene.sends_all_of(&layer).await;
    // Of the layer and the config.
    assert_eq!(scene.registry.seen("PUT /v2/to/app/blobs/").len(), 2);
    assert_eq!(scene.registry.seen("PATCH").len(), 0);
}

#[tokio::test]
async fn a_source_that_goes_on_breaking_is_given_up() {
    let layer = bytes(MIB);
    let scene = with_layer(&layer).await;
    scene.source.breaks_after(&[0; 40]);
    let error = scene.send(&order("1")).await.unwrap_err();
    assert!(matches!(error, SendError::Source(_)), "{error}");
    assert!(!error.is_terminal());
}

#[tokio::test]
async fn an_upload_goes_on_where_the_destination_says_that_it_broke() {
    let layer = bytes(4 * MIB);
    let scene = with_layer(&layer).await;
    scene
        .registry
        .mood(|mood| mood.breaks_after = vec![MIB, MIB]);
    scene.sends_all_of(&layer).await;
    let sent_twice = scene.registry.received() - layer.len();
    assert!(
        sent_twice < 200,
        "{sent_twice} bytes more than there are, the config among them"
    );
    assert_eq!(scene.registry.seen("POST").len(), 2);
}

#[tokio::test]
async fn an_upload_that_the_destination_forgot_begins_anew() {
    let layer = bytes(2 * MIB);
    let scene = with_layer(&layer).await;
    scene.registry.mood(|mood| {
        mood.breaks_after = vec![MIB];
        mood.forgets = true;
    });
    scene.sends_all_of(&layer).await;
    assert_eq!(scene.registry.seen("POST").len(), 3);
}

#[tokio::test]
async fn an_upload_whose_last_answer_was_lost_is_not_sent_again() {
    let layer = bytes(MIB);
    let scene = with_layer(&layer).await;
    scene.registry.mood(|mood| mood.lost_answers = 2);
    scene.sends_all_of(&layer).await;
    assert!(scene.registry.received() < layer.len() + 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_for_the_destination_is_sent_in_pieces() {
    let layer = bytes(20 * MIB);
    let scene = with_layer(&layer).await;
    scene
        .registry
        .mood(|mood| mood.largest_body = Some(5 * MIB));
    scene.sends_all_of(&layer).await;
    // 16 and 8 MiB are too large, too.
    assert_eq!(scene.registry.seen("PATCH").len(), 2 + 5);
    // The next one is sent so at once.
    let other = bytes(6 * MIB);
    scene
        .source
        .tag("1", &image(&scene.source, "amd64", &[&other]));
    scene.registry.forget_seen();
    scene.sends_all_of(&other).await;
    assert_eq!(scene.registry.seen("PATCH").len(), 2);
}

#[tokio::test]
async fn a_destination_that_keeps_nothing_of_what_it_takes_is_given_up() {
    let layer = bytes(3 * MIB);
    let scene = with_layer(&layer).await;
    scene.registry.mood(|mood| {
        mood.largest_body = Some(MIB);
        mood.keeps_nothing = true;
    });
    let order = order("1");
    let sending = tokio::time::timeout(Duration::from_secs(60), scene.send(&order));
    let error = sending.await.expect("it ends").unwrap_err();
    assert!(matches!(error, SendError::Unkept(_)), "{error}");
    assert!(!error.is_terminal());
    assert_eq!(scene.registry.seen("PATCH").len(), 4 + 6);
}

#[tokio::test]
async fn no_piece_is_smaller_than_the_destination_wants() {
    let layer = bytes(3 * MIB);
    let scene = with_layer(&layer).await;
    scene.registry.mood(|mood| {
        mood.largest_body = Some(MIB);
        mood.min_chunk = Some(2 * MIB);
    });
    let error = scene.send(&order("1")).await.unwrap_err();
    assert!(error.to_string().contains("413"), "{error}");
}

#[tokio::test]
async fn what_the_destination_cleaned_up_meanwhile_is_sent_once_more() {
    let layer = bytes(1000);
    let scene = with_layer(&layer).await;
    scene.sends_all_of(&layer).await;
    scene.registry.drop_blobs();
    let other = Order {
        tags: vec!["2".parse().unwrap()],
        existing: Existing::Renew,
        ..order("1")
    };
    assert_eq!(scene.outcome(&other).await, Outcome::Sent);
    assert!(scene.registry.has_blob("to/app", &layer));
}

/// Other images may want it, too.
#[tokio::test]
async fn what_is_being_sent_when_another_blob_fails_is_sent_to_its_end() {
    let scene = Scene::new().await;
    let large = vec![7; 4 << 20];
    let missing = json!({"mediaType": LAYER, "digest": Digest::sha256(b"missing"), "size": 7});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob(&scene.source, CONFIG, b"{}"),
        "layers": [blob(&scene.source, LAYER, &large), missing],
    });
    scene
        .source
        .tag("1", &scene.source.add_manifest(MANIFEST, &manifest));
    assert!(scene.send(&order("1")).await.is_err());
    assert!(scene.registry.has_blob("to/app", &large));
}
