//! What nothing references: what is found, when it goes, what renews its grace.

use super::{
    images::{end, image},
    *,
};
use crate::meta::{Grace, Removed};

on_both! {
    a_link_that_nothing_names_goes_after_its_grace_and_what_is_named_never,
    where_something_is_pushed_an_old_link_stays_as_long_as_a_push_may_take,
    old_links_come_page_by_page,
    a_blob_that_somebody_counts_on_gets_a_new_grace,
    a_blob_that_nobody_has_is_found_and_goes,
}

/// Nothing is being pushed: everything not wanted since `before` may go.
fn idle(before: SystemTime) -> Grace {
    Grace {
        idle: before,
        busy: at(0),
    }
}

impl Database {
    async fn delete_unnamed(&self, blobs: &[&str], grace: Grace) -> (u64, Removed) {
        let links = blobs.iter().map(|blob| digest(blob)).collect();
        let repository = name("p/r");
        let deleted = self.meta.delete_unnamed(&repository, links, grace);
        deleted.await.unwrap()
    }

    async fn old(&self, before: SystemTime) -> Vec<Digest> {
        let links = self.meta.old_links(&name("p/r"), before, None, 100).await;
        links.unwrap().into_iter().map(|link| link.digest).collect()
    }
}

async fn a_link_that_nothing_names_goes_after_its_grace_and_what_is_named_never(
    database: Database,
) {
    database
        .link("p/r", &["loose", "named late", "named"])
        .await;
    database.run("UPDATE link SET touched_at = 5000").await;
    database.link("q/r", &["loose"]).await;
    database
        .commit([image("p/r", "image", &["named late", "named"])])
        .await;
    assert!(database.has_blob("p/r", "loose").await);
    let all = ["loose", "named late", "named", "not here"];
    assert_eq!(database.delete_unnamed(&all, idle(at(5))).await.0, 0);
    let (links, removed) = database.delete_unnamed(&all, idle(at(6))).await;
    // Another repository has it still.
    assert_eq!(
        (links, removed),
        (
            1,
            Removed {
                project_bytes: 10,
                ..Removed::default()
            }
        )
    );
    assert!(!database.has_blob("p/r", "loose").await && database.has_blob("q/r", "loose").await);
    assert!(
        database.has_blob("p/r", "named late").await && database.has_blob("p/r", "named").await
    );
}

async fn where_something_is_pushed_an_old_link_stays_as_long_as_a_push_may_take(
    database: Database,
) {
    database.link("p/r", &["first layer"]).await;
    database.run("UPDATE link SET touched_at = 5000").await;
    database.link("p/r", &["second layer"]).await;
    let grace = |busy| Grace { idle: at(9), busy };
    assert_eq!(
        database
            .delete_unnamed(&["first layer"], grace(at(4)))
            .await
            .0,
        0
    );
    let (links, removed) = database
        .delete_unnamed(&["first layer"], grace(at(8)))
        .await;
    assert_eq!((links, removed.gone), (1, vec![digest("first layer")]));
    database.link("p/r", &["third layer"]).await;
    database.run("UPDATE link SET touched_at = 5000").await;
    let limits = crate::meta::UploadLimits {
        all: 1,
        of_repository: 1,
    };
    let (repository, algorithm) = (name("p/r"), crate::oci::Algorithm::Sha256);
    let meta = &database.meta;
    let upload = uuid::Uuid::new_v4();
    let started = meta
        .upload_start(upload, &repository, algorithm, limits)
        .await;
    assert!(started.unwrap());
    let third = async || {
        database
            .delete_unnamed(&["third layer"], grace(at(4)))
            .await
            .0
    };
    assert_eq!(third().await, 0);
    meta.upload_delete(upload, &repository).await.unwrap();
    assert_eq!(third().await, 1);
}

async fn old_links_come_page_by_page(database: Database) {
    database.link("p/r", &["a", "b", "c", "d"]).await;
    database.run("UPDATE link SET touched_at = 5000").await;
    database.link("p/r", &["new"]).await;
    let mut found = Vec::new();
    let mut last = None;
    let repository = name("p/r");
    loop {
        let page = database
            .meta
            .old_links(&repository, at(6), last.as_ref(), 3);
        let page = page.await.unwrap();
        found.extend(page.iter().map(|link| link.digest.clone()));
        last = page.into_iter().next_back();
        if last.is_none() {
            break;
        }
    }
    let mut expected = ["a", "b", "c", "d"].map(digest);
    expected.sort_unstable_by_key(ToString::to_string);
    assert_eq!(found, expected);
}

async fn a_blob_that_somebody_counts_on_gets_a_new_grace(database: Database) {
    database.link("p/r", &["loose", "named"]).await;
    database.commit([image("p/r", "image", &["named"])]).await;
    database.run("UPDATE link SET touched_at = 5000").await;
    let renew = async |content: &str| {
        let spare = Duration::from_mins(1);
        let (repository, digest) = (name("p/r"), digest(content));
        let renewed = database.meta.blob_renew(&repository, &digest, spare).await;
        renewed.unwrap()
    };
    let written = database.meta.transactions();
    assert!(renew("loose").await);
    assert_eq!(database.old(at(6)).await, [digest("named")]);
    assert_eq!(database.meta.transactions(), written + 1);
    // Not each time that somebody asks, and not for what goes with a manifest.
    assert!(renew("loose").await);
    database
        .run("UPDATE link SET touched_at = NULL WHERE touched_at = 5000")
        .await;
    assert!(renew("named").await);
    assert_eq!(database.meta.transactions(), written + 1);
    assert_eq!(database.old(end()).await, [digest("loose")]);
    assert!(!renew("never").await);
}

async fn a_blob_that_nobody_has_is_found_and_goes(database: Database) {
    database.link("p/r", &["linked", "young", "lost"]).await;
    database.commit([image("p/r", "image", &[])]).await;
    database.run("UPDATE blob SET created_at = 5000").await;
    for content in ["young", "lost"] {
        Statement::new("DELETE FROM link WHERE digest = $1")
            .bind(&digest(content))
            .execute(&mut *database.outside().await)
            .await
            .unwrap();
    }
    Statement::new("UPDATE blob SET created_at = 7000 WHERE digest = $1")
        .bind(&digest("young"))
        .execute(&mut *database.outside().await)
        .await
        .unwrap();
    let (mut found, mut last) = (Vec::new(), None);
    loop {
        let page = database
            .meta
            .orphan_blobs(at(6), last.as_ref(), 2)
            .await
            .unwrap();
        found.extend(page.orphans);
        last = page.last;
        if last.is_none() {
            break;
        }
    }
    assert_eq!(found, [digest("lost")]);
    let all = ["linked", "young", "lost", "image"].map(digest).to_vec();
    let removed = database.meta.delete_orphan_blobs(all, at(6)).await.unwrap();
    assert_eq!((removed.gone, removed.bytes), (vec![digest("lost")], 10));
    assert_eq!(database.meta.gone(10).await.unwrap(), [digest("lost")]);
    assert_eq!(
        database.meta.blob_size(&digest("young")).await.unwrap(),
        Some(10)
    );
}
