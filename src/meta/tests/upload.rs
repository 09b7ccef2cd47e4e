use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::oci::Algorithm;

on_both!(
    a_session_is_one_repositorys_until_it_ends,
    there_are_only_so_many_sessions,
    one_request_holds_a_session_at_a_time,
    what_object_storage_has_of_a_session_that_ends_is_garbage,
    an_object_is_known_before_anything_of_it_is_sent,
);

const MANY: UploadLimits = UploadLimits {
    all: 100,
    of_repository: 100,
};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

async fn started(meta: &Meta, repository: &Name) -> Uuid {
    let id = Uuid::new_v4();
    let started = meta.upload_start(id, repository, Algorithm::Sha512, MANY);
    assert!(started.await.unwrap());
    id
}

fn holder(id: Uuid, repository: &Name) -> UploadHolder {
    UploadHolder {
        id,
        repository: repository.clone(),
        holder: Uuid::new_v4(),
    }
}

fn state(multipart: Option<&str>) -> UploadState {
    UploadState {
        received_bytes: 7,
        hash: Bytes::from_static(b"hash"),
        object: multipart.map(|multipart| (Uuid::new_v4(), multipart.to_owned())),
        parts: vec!["\"one\"".to_owned(), "\"two\"".to_owned()],
        tail: Bytes::from_static(b"tail"),
    }
}

async fn a_session_is_one_repositorys_until_it_ends(database: Database) {
    let (meta, a, b) = (&database.meta, name("p/a"), name("p/b"));
    let id = started(meta, &a).await;
    let row = UploadRow {
        algorithm: Algorithm::Sha512,
        received_bytes: 0,
    };
    assert_eq!(meta.upload(id, &a).await.unwrap(), Some(row));
    assert_eq!(meta.upload(id, &b).await.unwrap(), None);
    assert!(!meta.upload_touch(id, &b, 5).await.unwrap());
    assert_eq!(meta.upload_received(id).await.unwrap(), Some(0));
    assert!(!meta.upload_delete(id, &b).await.unwrap());
    assert!(meta.upload_touch(id, &a, 5).await.unwrap());
    assert_eq!(meta.upload_received(id).await.unwrap(), Some(5));
    assert!(meta.upload_delete(id, &a).await.unwrap());
    assert!(!meta.upload_touch(id, &a, 5).await.unwrap());
    assert_eq!(meta.upload_received(id).await.unwrap(), None);
    assert_eq!(meta.upload(id, &a).await.unwrap(), None);
}

async fn there_are_only_so_many_sessions(database: Database) {
    let meta = &database.meta;
    let few = UploadLimits {
        all: 3,
        of_repository: 2,
    };
    let start = async |repository: &str| {
        let (id, repository) = (Uuid::new_v4(), name(repository));
        meta.upload_start(id, &repository, Algorithm::Sha256, few)
            .await
            .unwrap()
    };
    assert!(start("p/a").await && start("p/a").await);
    assert!(!start("p/a").await);
    assert!(start("p/b").await);
    assert!(!start("p/c").await);
    let later = SystemTime::now() + Duration::from_secs(1);
    assert_eq!(meta.uploads_forget(later).await.unwrap().len(), 3);
    assert!(start("p/c").await);
    let earlier = SystemTime::now() - Duration::from_secs(60);
    assert!(meta.uploads_forget(earlier).await.unwrap().is_empty());
}

async fn one_request_holds_a_session_at_a_time(database: Database) {
    let (meta, a) = (&database.meta, name("p/a"));
    let id = started(meta, &a).await;
    let (one, two) = (holder(id, &a), holder(id, &a));
    let minute = Duration::from_secs(60);
    let hold = async |of: &UploadHolder| meta.upload_hold(of, minute).await.unwrap();
    let fresh = UploadHold::Held(Algorithm::Sha512, None);
    assert_eq!(hold(&one).await, fresh);
    assert_eq!(hold(&two).await, UploadHold::Busy);
    // Who has it goes on.
    assert_eq!(hold(&one).await, fresh);
    assert!(!meta.upload_save(&two, state(None)).await.unwrap());
    let saved = state(Some("multi"));
    assert!(meta.upload_save(&one, saved.clone()).await.unwrap());
    assert_eq!(
        hold(&two).await,
        UploadHold::Held(Algorithm::Sha512, Some(saved))
    );
    meta.upload_let_go(&two).await.unwrap();
    assert!(matches!(hold(&one).await, UploadHold::Held(..)));
    assert_eq!(hold(&holder(Uuid::new_v4(), &a)).await, UploadHold::Gone);
    // Of one that is never heard of again.
    meta.upload_hold(&one, Duration::ZERO).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(matches!(hold(&two).await, UploadHold::Held(..)));
}

async fn what_object_storage_has_of_a_session_that_ends_is_garbage(database: Database) {
    let (meta, a) = (&database.meta, name("p/a"));
    let mut expected = Vec::new();
    for is_deleted in [true, false] {
        let id = started(meta, &a).await;
        let (of, state) = (holder(id, &a), state(Some("multi")));
        let minute = Duration::from_secs(60);
        meta.upload_hold(&of, minute).await.unwrap();
        assert!(meta.upload_save(&of, state.clone()).await.unwrap());
        let (object, multipart) = state.object.unwrap();
        assert!(meta.object_known(object).await.unwrap());
        expected.push(Garbage {
            object,
            multipart: Some(multipart),
        });
        if is_deleted {
            assert!(meta.upload_delete(id, &a).await.unwrap());
        } else {
            let later = SystemTime::now() + Duration::from_secs(1);
            assert_eq!(meta.uploads_forget(later).await.unwrap(), [id]);
        }
    }
    assert_garbage(meta, expected).await;
}

/// What was begun is known from then on, whether or not the step comes to its end.
async fn an_object_is_known_before_anything_of_it_is_sent(database: Database) {
    let (meta, a) = (&database.meta, name("p/a"));
    let id = started(meta, &a).await;
    let (of, other) = (holder(id, &a), holder(id, &a));
    let hold = async || {
        let held = meta.upload_hold(&of, Duration::from_secs(60)).await;
        held.unwrap()
    };
    let begin = async |of: &UploadHolder, multipart: Option<&str>| {
        let (object, multipart) = (Uuid::new_v4(), multipart.map(str::to_owned));
        let begun = meta.upload_begun(of, object, multipart.clone()).await;
        (begun.unwrap(), Garbage { object, multipart })
    };
    assert_eq!(hold().await, UploadHold::Held(Algorithm::Sha512, None));
    assert!(!begin(&other, Some("not ours")).await.0);
    let (is_begun, first) = begin(&of, Some("first")).await;
    assert!(is_begun && meta.object_known(first.object).await.unwrap());
    // That step failed, and the next one begins anew.
    meta.upload_let_go(&of).await.unwrap();
    assert_eq!(hold().await, UploadHold::Held(Algorithm::Sha512, None));
    let (_, second) = begin(&of, None).await;
    let (_, third) = begin(&of, Some("third")).await;
    // All that came is in the tail.
    assert!(meta.upload_save(&of, state(None)).await.unwrap());
    assert_garbage(meta, vec![first.clone(), second.clone(), third.clone()]).await;
    // The next step is killed after its first part: what it began is gone on with.
    assert!(matches!(hold().await, UploadHold::Held(_, Some(_))));
    let (_, fourth) = begin(&of, Some("fourth")).await;
    let UploadHold::Held(_, Some(held)) = hold().await else {
        panic!("it is held");
    };
    assert_eq!(held.object, Some((fourth.object, "fourth".to_owned())));
    assert!(meta.upload_delete(id, &a).await.unwrap());
    assert_garbage(meta, vec![first, second, third, fourth]).await;
}

async fn assert_garbage(meta: &Meta, mut expected: Vec<Garbage>) {
    let later = SystemTime::now() + Duration::from_secs(1);
    let mut due = meta.garbage_due(later, 10).await.unwrap();
    let by_object = |garbage: &Garbage| garbage.object;
    due.sort_by_key(by_object);
    expected.sort_by_key(by_object);
    assert_eq!(due, expected);
}
