//! Tags and lists.

use bytes::Bytes;

use super::*;

on_both! {
    a_tag_is_put_read_and_deleted,
    a_tag_keeps_what_was_pulled_until_what_was_told_is_here,
    a_late_answer_does_not_overwrite_a_newer_one,
    a_tag_checked_in_the_future_by_a_wrong_clock_can_still_move,
    tags_are_sorted_as_bytes,
    a_repository_can_have_a_hundred_thousand_tags,
    lists_are_kept_by_kind_and_key_and_replaced,
}

async fn a_tag_is_put_read_and_deleted(database: Database) {
    let meta = &database.meta;
    let (repository, latest) = (name("docker.io/library/nginx"), tag("latest"));
    assert_eq!(meta.tag(&repository, &latest).await.unwrap(), None);
    meta.tag_put(&repository, &latest, row("one", 1))
        .await
        .unwrap();
    assert_eq!(
        meta.tag(&repository, &latest).await.unwrap(),
        Some(row("one", 1))
    );
    assert_eq!(
        meta.tag(&name("docker.io/library/other"), &latest)
            .await
            .unwrap(),
        None
    );
    meta.tag_delete(&repository, &latest).await.unwrap();
    assert_eq!(meta.tag(&repository, &latest).await.unwrap(), None);
    meta.tag_delete(&repository, &latest).await.unwrap();
}

async fn a_tag_keeps_what_was_pulled_until_what_was_told_is_here(database: Database) {
    let meta = &database.meta;
    let (repository, latest) = (name("p/r"), tag("latest"));
    meta.tag_put(&repository, &latest, row("one", 1))
        .await
        .unwrap();
    let told = TagRow {
        told: Some(summary("two")),
        ..row("one", 2)
    };
    meta.tag_put(&repository, &latest, told.clone())
        .await
        .unwrap();
    assert_eq!(meta.tag(&repository, &latest).await.unwrap(), Some(told));

    meta.manifest_commit(commit("p/r", "other")).await.unwrap();
    let kept = meta.tag(&repository, &latest).await.unwrap().unwrap();
    assert_eq!(kept.target, summary("one"));

    meta.manifest_commit(commit("p/r", "two")).await.unwrap();
    assert_eq!(
        meta.tag(&repository, &latest).await.unwrap(),
        Some(row("two", 2))
    );
}

async fn a_late_answer_does_not_overwrite_a_newer_one(database: Database) {
    let meta = &database.meta;
    let (repository, latest) = (name("p/r"), tag("latest"));
    meta.tag_put(&repository, &latest, row("new", 5))
        .await
        .unwrap();
    meta.tag_put(&repository, &latest, row("old", 4))
        .await
        .unwrap();
    assert_eq!(
        meta.tag(&repository, &latest).await.unwrap(),
        Some(row("new", 5))
    );
}

async fn a_tag_checked_in_the_future_by_a_wrong_clock_can_still_move(database: Database) {
    let meta = &database.meta;
    let (repository, latest) = (name("p/r"), tag("latest"));
    meta.tag_put(&repository, &latest, row("wrong", 90_000_000_000))
        .await
        .unwrap();
    meta.tag_put(&repository, &latest, row("right", 5))
        .await
        .unwrap();
    assert_eq!(
        meta.tag(&repository, &latest).await.unwrap(),
        Some(row("right", 5))
    );
}

async fn tags_are_sorted_as_bytes(database: Database) {
    let meta = &database.meta;
    for text in ["a", "B", "_", "1.10", "1.9", "1-x", "Z", "aB", "ab"] {
        meta.tag_put(&name("p/r"), &tag(text), row("one", 1))
            .await
            .unwrap();
    }
    meta.tag_put(&name("p/other"), &tag("no"), row("one", 1))
        .await
        .unwrap();
    let tags = meta.tags_since(&name("p/r"), at(0)).await.unwrap();
    let names: Vec<_> = tags.iter().map(Tag::as_str).collect();
    assert_eq!(
        names,
        ["1-x", "1.10", "1.9", "B", "Z", "_", "a", "aB", "ab"]
    );
    let later = row("one", 3);
    meta.tag_put(&name("p/r"), &tag("Z"), later).await.unwrap();
    let tags = meta.tags_since(&name("p/r"), at(2)).await.unwrap();
    assert_eq!(tags, [tag("Z")]);
}

async fn a_repository_can_have_a_hundred_thousand_tags(database: Database) {
    let meta = &database.meta;
    meta.tag_put(&name("p/r"), &tag("first"), row("one", 1))
        .await
        .unwrap();
    let mut outside = database.outside().await;
    run(
        &mut outside,
        "INSERT INTO tag (repository_id, name, digest, media_type, size_bytes, checked_at) \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) \
         SELECT tag.repository_id, 'v' || n.i, tag.digest, tag.media_type, 7, 1000 FROM n, tag",
    )
    .await;
    let tags = meta.tags_since(&name("p/r"), at(0)).await.unwrap();
    assert_eq!(tags.len(), 100_000);
    assert!(tags.is_sorted());
    let last = meta
        .tag(&name("p/r"), &tag("v99999"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.target.digest, digest("one"));
}

async fn lists_are_kept_by_kind_and_key_and_replaced(database: Database) {
    let meta = &database.meta;
    let repository = name("p/r");
    let list = |body: &'static str, seconds| ListRow {
        body: Bytes::from_static(body.as_bytes()),
        fetched_at: at(seconds),
    };
    let subject = digest("subject").to_string();
    assert_eq!(
        meta.list(&repository, ListKind::Tags, "").await.unwrap(),
        None
    );
    meta.list_put(&repository, ListKind::Tags, "", list("[1]", 1))
        .await
        .unwrap();
    meta.list_put(&repository, ListKind::Referrers, &subject, list("[2]", 2))
        .await
        .unwrap();
    meta.list_put(&repository, ListKind::Tags, "", list("[3]", 3))
        .await
        .unwrap();
    assert_eq!(
        meta.list(&repository, ListKind::Tags, "").await.unwrap(),
        Some(list("[3]", 3))
    );
    let referrers = meta
        .list(&repository, ListKind::Referrers, &subject)
        .await
        .unwrap();
    assert_eq!(referrers, Some(list("[2]", 2)));
    assert_eq!(
        meta.list(&repository, ListKind::Referrers, "")
            .await
            .unwrap(),
        None
    );
}
