//! Which write a tag is of: what is older changes nothing, what is the same tells nothing.

use super::*;
use crate::oci::{TagState, TagVersion};

on_both! {
    each_push_and_delete_is_newer_than_the_one_before,
    an_older_push_of_another_instance_changes_nothing,
    a_newer_push_of_another_instance_is_taken_once,
    what_was_deleted_comes_back_only_by_a_newer_push,
    a_delete_of_what_is_not_here_is_noted_and_told_once,
    an_older_delete_deletes_nothing,
    what_a_mirror_moves_has_no_version,
    the_same_by_a_newer_write_elsewhere_is_told,
    old_deletes_are_forgotten,
    what_was_pushed_before_versions_were_kept_has_one,
}

async fn push(database: &Database, text: &str, version: Option<TagVersion>) -> ManifestPushed {
    let push = ManifestPush {
        commit: commit("p/r", text),
        tags: vec![tag("1")],
        fixed: Vec::new(),
        blobs: Vec::new(),
        manifests: Vec::new(),
        object: None,
        seeded: false,
        pushed_by: None,
        version,
    };
    database.meta.manifest_push(push).await.unwrap()
}

async fn standing(database: &Database) -> Option<TagState> {
    let (repository, tag) = (name("p/r"), tag("1"));
    database.meta.tag_state(&repository, &tag).await.unwrap()
}

async fn delete(database: &Database, deleted: Option<TagState>) -> Deletion {
    let (repository, tag) = (name("p/r"), tag("1"));
    let deletion = database
        .meta
        .delete_tag(&repository, &tag, Deletable::default(), deleted);
    deletion.await.unwrap()
}

async fn events(database: &Database) -> usize {
    database.meta.events_after(0, 100).await.unwrap().len()
}

/// Of another instance, so many seconds from now.
fn version(seconds: i64) -> TagVersion {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let time = if seconds < 0 {
        now - distance
    } else {
        now + distance
    };
    TagVersion::after(None, time, 7)
}

fn deleted(text: &str, version: TagVersion) -> TagState {
    TagState {
        version,
        digest: digest(text),
        is_deleted: true,
    }
}

async fn each_push_and_delete_is_newer_than_the_one_before(database: Database) {
    push(&database, "one", None).await;
    let one = standing(&database).await.unwrap();
    assert_eq!((&one.digest, one.is_deleted), (&digest("one"), false));
    push(&database, "one", None).await;
    let again = standing(&database).await.unwrap();
    assert!(again.version > one.version);
    delete(&database, None).await;
    let gone = standing(&database).await.unwrap();
    assert_eq!((&gone.digest, gone.is_deleted), (&digest("one"), true));
    assert!(gone.version > again.version);
    // Also than one whose clock is ahead.
    let ahead = version(200);
    assert_eq!(
        push(&database, "two", Some(ahead)).await,
        ManifestPushed::Done
    );
    push(&database, "one", None).await;
    assert!(standing(&database).await.unwrap().version > ahead);
}

async fn an_older_push_of_another_instance_changes_nothing(database: Database) {
    push(&database, "one", None).await;
    let (one, told) = (standing(&database).await, events(&database).await);
    let older = push(&database, "two", Some(version(-10))).await;
    assert_eq!(older, ManifestPushed::Kept(one.clone().unwrap()));
    assert_eq!(standing(&database).await, one);
    assert_eq!(events(&database).await, told);
    let row = database.meta.tag(&name("p/r"), &tag("1")).await.unwrap();
    assert_eq!(row.unwrap().target.digest, digest("one"));
}

async fn a_newer_push_of_another_instance_is_taken_once(database: Database) {
    push(&database, "one", None).await;
    let newer = version(10);
    assert_eq!(
        push(&database, "two", Some(newer)).await,
        ManifestPushed::Done
    );
    let two = standing(&database).await.unwrap();
    assert_eq!((two.version, two.digest), (newer, digest("two")));
    let told = events(&database).await;
    assert_eq!(
        push(&database, "two", Some(newer)).await,
        ManifestPushed::Done
    );
    assert_eq!(events(&database).await, told);
    // The same by a newer write is news.
    push(&database, "two", Some(version(20))).await;
    assert_eq!(events(&database).await, told + 1);
}

async fn what_was_deleted_comes_back_only_by_a_newer_push(database: Database) {
    push(&database, "one", None).await;
    let one = standing(&database).await.unwrap();
    delete(&database, None).await;
    let gone = standing(&database).await.unwrap();
    let older = push(&database, "one", Some(one.version)).await;
    assert_eq!(older, ManifestPushed::Kept(gone));
    assert_eq!(
        push(&database, "one", Some(version(10))).await,
        ManifestPushed::Done
    );
    assert!(!standing(&database).await.unwrap().is_deleted);
}

async fn a_delete_of_what_is_not_here_is_noted_and_told_once(database: Database) {
    let gone = deleted("one", version(0));
    for _ in 0..2 {
        assert_eq!(
            delete(&database, Some(gone.clone())).await,
            Deletion::Absent
        );
        assert_eq!(standing(&database).await, Some(gone.clone()));
        assert_eq!(events(&database).await, 1);
    }
    let older = push(&database, "one", Some(version(-10))).await;
    assert_eq!(older, ManifestPushed::Kept(gone));
}

async fn an_older_delete_deletes_nothing(database: Database) {
    push(&database, "one", None).await;
    let one = standing(&database).await.unwrap();
    let older = delete(&database, Some(deleted("one", version(-10)))).await;
    assert_eq!(older, Deletion::Kept(one));
    let newer = deleted("one", version(10));
    let done = delete(&database, Some(newer.clone())).await;
    assert!(matches!(done, Deletion::Done(_)));
    assert_eq!(standing(&database).await, Some(newer));
}

async fn what_a_mirror_moves_has_no_version(database: Database) {
    push(&database, "one", None).await;
    let (repository, moved) = (name("p/r"), tag("1"));
    let fetched = TagRow {
        checked_at: SystemTime::now() + Duration::from_secs(1),
        ..row("two", 0)
    };
    let meta = &database.meta;
    meta.tag_put(&repository, &moved, fetched).await.unwrap();
    assert_eq!(standing(&database).await, None);
    meta.tag_delete(&repository, &moved).await.unwrap();
    assert_eq!(standing(&database).await, None);
    assert_eq!(
        push(&database, "two", Some(version(-10))).await,
        ManifestPushed::Done
    );
}

async fn the_same_by_a_newer_write_elsewhere_is_told(database: Database) {
    push(&database, "one", None).await;
    let told = events(&database).await;
    let (meta, repository, at) = (&database.meta, name("p/r"), tag("1"));
    let same = TagState {
        is_deleted: false,
        ..deleted("one", version(10))
    };
    for _ in 0..2 {
        let seen = meta.tag_version_seen(&repository, &at, same.clone());
        seen.await.unwrap();
        assert_eq!(standing(&database).await, Some(same.clone()));
        assert_eq!(events(&database).await, told + 1);
    }
    let other = deleted("two", version(20));
    let seen = meta.tag_version_seen(&repository, &at, other);
    seen.await.unwrap();
    assert_eq!(standing(&database).await, Some(same.clone()));
    let (one, two) = (digest("one"), digest("two"));
    let raised = meta.tag_version_raise(&repository, &at, &one, version(30));
    assert!(raised.await.unwrap().unwrap().version > version(29));
    let raised = meta.tag_version_raise(&repository, &at, &two, version(40));
    assert_eq!(raised.await.unwrap(), None);
}

async fn old_deletes_are_forgotten(database: Database) {
    push(&database, "one", None).await;
    let later = SystemTime::now() + Duration::from_secs(60);
    let expire = || database.meta.tag_versions_expire(later);
    assert_eq!(expire().await.unwrap(), 0);
    delete(&database, None).await;
    assert_eq!(expire().await.unwrap(), 1);
    assert_eq!(standing(&database).await, None);
}

async fn what_was_pushed_before_versions_were_kept_has_one(database: Database) {
    push(&database, "one", None).await;
    let mut outside = database.outside().await;
    run(
        &mut outside,
        "DELETE FROM tag_version; UPDATE tag SET pushed_at = 1000",
    )
    .await;
    let sql = if database.is_sqlite() {
        include_str!("../../../migrations/sqlite/0014_tag_version.sql")
    } else {
        include_str!("../../../migrations/postgres/0014_tag_version.sql")
    };
    let begin = sql.find("INSERT INTO tag_version").unwrap();
    let end = begin + sql[begin..].find(';').unwrap();
    let backfill: &'static str = &sql[begin..end];
    run(&mut outside, backfill).await;
    outside.close().await.unwrap();
    let state = standing(&database).await.unwrap();
    let expected = TagVersion::after(None, at(1), 0).to_string();
    assert!(
        state.version.to_string().starts_with(&expected[..17]),
        "{state}"
    );
}
