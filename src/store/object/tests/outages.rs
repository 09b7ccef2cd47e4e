//! What happens while the storage is away, slow, broken or closed to us.

use super::*;

async fn behind_a_line() -> (Bucket, Line, Objects) {
    let bucket = Bucket::new();
    let line = Line::to(bucket.server()).await;
    let bucket = bucket.behind(line.address());
    let objects = objects(&bucket);
    (bucket, line, objects)
}

#[tokio::test]
async fn nothing_is_asked_at_the_start() {
    let line = Line::to("127.0.0.1:1".parse().unwrap()).await;
    objects(&Bucket::new().behind(line.address()));
    assert_eq!(line.connections(), 0);
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again_from_its_byte_on() {
    let (_bucket, line, objects) = behind_a_line().await;
    let bytes = content(4 * MIB);
    let id = objects.write(&bytes).await.unwrap();
    let before = line.connections();
    line.set(Trouble::CutAfter(3 * MIB as u64));
    assert!(objects.read_all(id, 0..4 * MIB, 4 * MIB).await == bytes);
    assert_eq!(line.connections() - before, 2);
}

#[tokio::test]
async fn a_body_that_breaks_for_good_is_an_error_and_not_an_end() {
    let (_bucket, line, objects) = behind_a_line().await;
    let id = objects.write(&content(4 * MIB)).await.unwrap();
    line.set(Trouble::CutAfter(MIB as u64));
    let mut body = objects
        .read(id, 0..4 * MIB as u64, 4 * MIB as u64)
        .await
        .unwrap();
    line.set(Trouble::Refused);
    let error = loop {
        match body.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("it ended as if it were whole"),
        }
    };
    assert!(
        matches!(error, ObjectError::Unavailable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_upload_survives_a_short_outage() {
    let (bucket, line, objects) = behind_a_line().await;
    let bytes = content(20 * MIB);
    line.set(Trouble::Refused);
    let writing = tokio::spawn({
        let (objects, bytes) = (objects.clone(), bytes.clone());
        async move { objects.write(&bytes).await }
    });
    line.connected(1).await;
    line.repair();
    let id = writing.await.unwrap().unwrap();
    assert!(objects.read_all(id, 0..20 * MIB, 20 * MIB).await == bytes);
    assert_eq!(bucket.unfinished(), 0);
}

#[tokio::test]
async fn a_storage_that_is_away_is_told_so() {
    let (_bucket, line, objects) = behind_a_line().await;
    line.set(Trouble::Refused);
    let read = objects.read(ObjectId::new(), 0..7, 7).await;
    assert!(
        matches!(read, Err(ObjectError::Unavailable { .. })),
        "{read:?}"
    );
}

#[tokio::test]
async fn not_everybody_waits_for_the_same_outage() {
    let (_bucket, line, objects) = behind_a_line().await;
    let id = objects.write(b"content").await.unwrap();
    line.set(Trouble::Refused);
    let read = objects.read(id, 0..7, 7).await;
    assert!(matches!(read, Err(ObjectError::Unavailable { .. })));
    let asked = line.connections();
    let read = objects.read(id, 0..7, 7).await;
    assert!(matches!(read, Err(ObjectError::Away { .. })), "{read:?}");
    assert_eq!(line.connections(), asked);
    line.repair();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    assert_eq!(objects.read_all(id, 0..7, 7).await, b"content");
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_never_answers_is_given_up() {
    let (_bucket, line, objects) = behind_a_line().await;
    line.set(Trouble::Silent);
    let read = objects.read(ObjectId::new(), 0..7, 7).await;
    assert!(
        matches!(read, Err(ObjectError::TimedOut { .. })),
        "{read:?}"
    );
    let written = objects.write(b"content").await;
    assert!(
        matches!(written, Err(ObjectError::Unavailable { .. })),
        "{written:?}"
    );
}

#[tokio::test]
async fn wrong_credentials_and_missing_buckets_are_told_apart() {
    let bucket = Bucket::new();
    let settings = bucket.settings("");
    let open = |settings: &str| Objects::new(&storage(settings), TaskTracker::new()).unwrap();
    let refused = open(&settings.replace("entrepot-test-secret", "wrong"));
    let written = refused.write(b"content").await;
    assert!(
        matches!(written, Err(ObjectError::Refused { .. })),
        "{written:?}"
    );
    let missing = open(&settings.replace(bucket.name(), "nobodys"));
    let written = missing.write(b"content").await;
    let told = matches!(&written, Err(ObjectError::Refused { source, .. }) if source.to_string().contains("NoSuchBucket"));
    assert!(told, "{written:?}");
}
