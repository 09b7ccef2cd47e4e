//! What an upload leaves behind: the object, or nothing.

use super::*;

#[tokio::test]
async fn a_file_that_is_not_what_its_digest_says_is_not_stored() {
    let bucket = Bucket::new();
    let objects = objects(&bucket);
    for length in [10, 17 * MIB] {
        let mut bytes = content(length);
        let digest = Digest::sha256(&bytes);
        bytes[length / 2] ^= 1;
        let upload = objects.begin(ObjectId::new(), &digest, blob(&bytes)).await;
        let finished = upload.unwrap().finish().await;
        assert!(
            matches!(finished, Err(ObjectError::Damaged { .. })),
            "{finished:?}"
        );
    }
    objects.settle().await;
    assert_eq!((bucket.files().len(), bucket.unfinished()), (0, 0));
}

#[tokio::test]
async fn a_file_that_is_shorter_than_it_was_is_not_stored() {
    let bucket = Bucket::new();
    let objects = objects(&bucket);
    for length in [10, 33 * MIB] {
        let bytes = content(length);
        let file = tempfile::tempfile().unwrap();
        file.set_len(length as u64 - 1).unwrap();
        let seal = Seal::new(&Digest::sha256(&bytes), length as u64);
        let blob = Blob::new(Arc::new(file), seal);
        let upload = objects
            .begin(ObjectId::new(), &Digest::sha256(&bytes), blob)
            .await;
        let finished = upload.unwrap().finish().await;
        assert!(
            matches!(finished, Err(ObjectError::Local { .. })),
            "{finished:?}"
        );
    }
    objects.settle().await;
    assert_eq!((bucket.files().len(), bucket.unfinished()), (0, 0));
}

#[tokio::test]
async fn an_upload_that_is_dropped_is_aborted() {
    let bucket = Bucket::new();
    let line = Line::to(bucket.server()).await;
    let bucket = bucket.behind(line.address());
    let objects = objects(&bucket);
    let bytes = content(40 * MIB);
    let upload = objects
        .begin(ObjectId::new(), &Digest::sha256(&bytes), blob(&bytes))
        .await
        .unwrap();
    assert!(upload.multipart().is_some());
    assert_eq!(bucket.unfinished(), 1);
    line.set(Trouble::Silent);
    let sending = tokio::spawn(upload.finish());
    line.connected(2).await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    line.repair();
    objects.settle().await;
    assert_eq!((bucket.files().len(), bucket.unfinished()), (0, 0));
}

#[tokio::test]
async fn what_a_killed_process_left_can_be_aborted_by_another_one() {
    let bucket = Bucket::new();
    let bytes = content(17 * MIB);
    let id = ObjectId::new();
    let line = Line::to(bucket.server()).await;
    let direct = objects(&bucket);
    let bucket = bucket.behind(line.address());
    let killed = objects(&bucket);
    let upload = killed
        .begin(id, &Digest::sha256(&bytes), blob(&bytes))
        .await;
    let upload = upload.unwrap();
    let multipart = upload.multipart().expect("it is large").to_owned();
    // Its own abort does not come through.
    line.set(Trouble::Refused);
    assert_eq!(bucket.unfinished(), 1);
    for _ in 0..2 {
        direct.abort(id, &multipart).await.unwrap();
        assert_eq!(bucket.unfinished(), 0);
    }
    drop(upload);
}

#[tokio::test]
async fn an_object_is_never_overwritten() {
    let bucket = Bucket::new();
    let objects = objects(&bucket);
    let id = objects.write(b"first").await.unwrap();
    let upload = objects
        .begin(id, &Digest::sha256(b"second"), blob(b"second"))
        .await;
    let second = upload.unwrap().finish().await;
    assert!(
        matches!(second, Err(ObjectError::Unavailable { .. })),
        "{second:?}"
    );
    assert_eq!(objects.read_all(id, 0..5, 5).await, b"first");
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_found_to_be_there() {
    let bucket = Bucket::new();
    let objects = objects(&bucket);
    let id = objects.write(b"content").await.unwrap();
    // The same id again is what the second try of the same put looks like.
    let upload = objects
        .begin(id, &Digest::sha256(b"content"), blob(b"content"))
        .await;
    upload.unwrap().finish().await.unwrap();
}

#[tokio::test]
async fn uploads_together_hold_few_parts_in_memory() {
    let bucket = Bucket::new();
    let line = Line::to(bucket.server()).await;
    let bucket = bucket.behind(line.address());
    let objects = objects(&bucket);
    let bytes = content(80 * MIB);
    let digest = Digest::sha256(&bytes);
    let mut uploads = Vec::new();
    for _ in 0..2 {
        let upload = objects.begin(ObjectId::new(), &digest, blob(&bytes)).await;
        uploads.push(upload.unwrap());
    }
    line.set(Trouble::Silent);
    let before = line.connections();
    let sending: Vec<_> = uploads
        .into_iter()
        .map(|upload| tokio::spawn(upload.finish()))
        .collect();
    line.connected(before + 3).await;
    assert_eq!(objects.inner.memory.available_permits(), 0);
    line.repair();
    for sending in sending {
        sending.await.unwrap().unwrap();
    }
    assert_eq!(bucket.files().len(), 2);
}
