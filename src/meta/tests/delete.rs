//! Deletes of clients: what goes, what stays, and what is told.

use super::{
    images::{end, image, index, referrer, tagged},
    *,
};
use crate::{
    config::Pattern,
    meta::{Deletable, Deleted, Deletion},
};

on_both! {
    a_tag_goes_alone,
    a_manifest_goes_with_its_tags_and_leaves_its_blobs_loose,
    a_manifest_that_goes_tells_what_is_left_dangling,
    a_blob_goes_from_one_repository_alone_even_if_a_manifest_names_it,
    a_tag_that_stays_keeps_what_it_points_to,
    of_a_mirror_only_what_was_pushed_there_goes,
    a_repository_goes_step_by_step_and_others_keep_what_they_share,
}

fn fixed(pattern: &str) -> Deletable {
    Deletable {
        fixed: vec![Pattern::parse(pattern).unwrap()],
        ..Deletable::default()
    }
}

fn only_seeded() -> Deletable {
    Deletable {
        only_seeded: true,
        ..Deletable::default()
    }
}

impl Database {
    async fn delete_tag(&self, text: &str, deletable: Deletable) -> Deletion {
        let (repository, tag) = (name("p/r"), tag(text));
        let deletion = self.meta.delete_tag(&repository, &tag, deletable, None);
        deletion.await.unwrap()
    }

    async fn delete_manifest(&self, content: &str, deletable: Deletable) -> Deletion {
        let (repository, digest) = (name("p/r"), digest(content));
        let deletion = self.meta.delete_manifest(&repository, &digest, deletable);
        deletion.await.unwrap()
    }

    async fn delete_blob(&self, content: &str, deletable: Deletable) -> Deletion {
        let (repository, digest) = (name("p/r"), digest(content));
        let deletion = self.meta.delete_blob(&repository, &digest, deletable);
        deletion.await.unwrap()
    }

    async fn has_tag(&self, text: &str) -> bool {
        let row = self.meta.tag(&name("p/r"), &tag(text)).await;
        row.unwrap().is_some()
    }

    /// Content of `p/r` that nothing names.
    async fn loose(&self) -> Vec<Digest> {
        let links = self.meta.old_links(&name("p/r"), end(), None, 100).await;
        let mut digests: Vec<_> = links.unwrap().into_iter().map(|link| link.digest).collect();
        digests.sort_unstable_by_key(ToString::to_string);
        digests
    }
}

fn done(deletion: Deletion) -> Deleted {
    match deletion {
        Deletion::Done(deleted) => deleted,
        other => panic!("{other:?}"),
    }
}

async fn a_tag_goes_alone(database: Database) {
    database
        .commit([
            tagged(image("p/r", "image", &[]), "v1"),
            tagged(image("p/r", "image", &[]), "v2"),
        ])
        .await;
    assert!(database.has_tag("v1").await);
    let deleted = done(database.delete_tag("v1", Deletable::default()).await);
    assert_eq!(deleted.tags, [tag("v1")]);
    assert!(!database.has_tag("v1").await && database.has_tag("v2").await);
    assert!(database.has_manifest("p/r", "image").await);
    for absent in ["v1", "never"] {
        let deletion = database.delete_tag(absent, Deletable::default()).await;
        assert_eq!(deletion, Deletion::Absent);
    }
}

async fn a_manifest_goes_with_its_tags_and_leaves_its_blobs_loose(database: Database) {
    database
        .commit([
            tagged(image("p/r", "image", &["mine", "base"]), "v1"),
            tagged(image("p/r", "image", &["mine", "base"]), "v2"),
            tagged(image("p/r", "other", &["base"]), "v3"),
        ])
        .await;
    database.link("p/r", &["mine", "base"]).await;
    assert!(database.has_manifest("p/r", "image").await && database.has_tag("v1").await);
    assert_eq!(database.loose().await, []);
    let deleted = done(
        database
            .delete_manifest("image", Deletable::default())
            .await,
    );
    assert_eq!(deleted.tags, [tag("v1"), tag("v2")]);
    assert_eq!(deleted.removed.gone, [digest("image")]);
    assert!(!database.has_manifest("p/r", "image").await);
    assert!(!database.has_tag("v1").await && !database.has_tag("v2").await);
    // Somebody may have been told just now that it is here, and be about to push what names it.
    assert!(database.has_blob("p/r", "mine").await);
    assert_eq!(database.loose().await, [digest("mine")]);
    let page = database.meta.old_links(&name("p/r"), at(5), None, 10).await;
    assert_eq!(page.unwrap(), []);
    let again = database
        .delete_manifest("image", Deletable::default())
        .await;
    assert_eq!(again, Deletion::Absent);
}

async fn a_manifest_that_goes_tells_what_is_left_dangling(database: Database) {
    database
        .commit([
            index("p/r", "index", &["subject"]),
            image("p/r", "subject", &[]),
            referrer("p/r", "signature", "subject", &[]),
            referrer("p/r", "sbom", "subject", &[]),
            referrer("p/elsewhere", "attestation", "subject", &[]),
        ])
        .await;
    let deleted = done(
        database
            .delete_manifest("subject", Deletable::default())
            .await,
    );
    let mut dangling = ["signature", "sbom"].map(digest);
    dangling.sort_unstable_by_key(ToString::to_string);
    assert_eq!(deleted.dangling, dangling);
    // Who asks for the referrers of what is gone still finds them.
    let (repository, subject) = (name("p/r"), digest("subject"));
    let referrers = database.meta.manifest_referrers(&repository, &subject);
    assert_eq!(referrers.await.unwrap().len(), 2);
    assert!(database.has_manifest("p/r", "index").await);
}

async fn a_blob_goes_from_one_repository_alone_even_if_a_manifest_names_it(database: Database) {
    database.commit([image("p/r", "image", &["layer"])]).await;
    database.link("p/r", &["layer"]).await;
    database.link("p/other", &["layer"]).await;
    assert!(database.has_blob("p/r", "layer").await);
    let deleted = done(database.delete_blob("layer", Deletable::default()).await);
    assert_eq!(deleted.removed.gone, []);
    assert!(!database.has_blob("p/r", "layer").await);
    assert!(
        database.has_blob("p/other", "layer").await && database.has_manifest("p/r", "image").await
    );
    let again = database.delete_blob("layer", Deletable::default()).await;
    assert_eq!(again, Deletion::Absent);
    database.link("p/r", &["alone"]).await;
    let deleted = done(database.delete_blob("alone", Deletable::default()).await);
    assert_eq!(
        (deleted.removed.gone, deleted.removed.bytes),
        (vec![digest("alone")], 10)
    );
    assert_eq!(database.meta.gone(10).await.unwrap(), [digest("alone")]);
}

async fn a_tag_that_stays_keeps_what_it_points_to(database: Database) {
    database
        .commit([
            tagged(image("p/r", "image", &[]), "nightly"),
            tagged(image("p/r", "image", &[]), "v1"),
        ])
        .await;
    let stays = Deletion::Fixed(tag("v1"));
    assert_eq!(database.delete_tag("v1", fixed("v*")).await, stays);
    assert_eq!(database.delete_manifest("image", fixed("v*")).await, stays);
    assert!(database.has_tag("v1").await && database.has_manifest("p/r", "image").await);
    done(database.delete_tag("nightly", fixed("v*")).await);
    done(database.delete_manifest("image", fixed("w*")).await);
}

async fn of_a_mirror_only_what_was_pushed_there_goes(database: Database) {
    database
        .commit([
            tagged(image("p/r", "cached", &["cached layer"]), "cached"),
            tagged(image("p/r", "pushed", &["pushed layer"]), "pushed"),
        ])
        .await;
    database
        .link("p/r", &["cached layer", "pushed layer"])
        .await;
    let digest = digest("pushed");
    Statement::new("UPDATE manifest SET seeded = TRUE WHERE digest = $1")
        .bind(&digest)
        .execute(&mut *database.outside().await)
        .await
        .unwrap();
    let kept = Deletion::NotSeeded;
    assert_eq!(database.delete_tag("cached", only_seeded()).await, kept);
    assert_eq!(
        database.delete_manifest("cached", only_seeded()).await,
        kept
    );
    assert_eq!(
        database.delete_blob("cached layer", only_seeded()).await,
        kept
    );
    assert!(database.has_tag("cached").await && database.has_blob("p/r", "cached layer").await);
    done(database.delete_tag("pushed", only_seeded()).await);
    done(database.delete_blob("pushed layer", only_seeded()).await);
    done(database.delete_manifest("pushed", only_seeded()).await);
}

async fn a_repository_goes_step_by_step_and_others_keep_what_they_share(database: Database) {
    let contents: Vec<String> = (0..150).map(|index| format!("image {index}")).collect();
    for content in &contents {
        let layer = format!("{content} layer");
        let commit = tagged(
            image("p/r", content, &[&*layer, "base"]),
            &content.replace(' ', "-"),
        );
        database.commit([commit]).await;
        database.link("p/r", &[&*layer]).await;
    }
    database.link("p/r", &["base"]).await;
    database.link("p/other", &["base"]).await;
    let meta = &database.meta;
    let mut gone = 0;
    let mut steps = 0;
    while let Some(removed) = meta.delete_some_of(&name("p/r")).await.unwrap() {
        gone += removed.gone.len();
        steps += 1;
    }
    assert_eq!(gone, 300);
    assert!(steps > 6, "{steps} steps");
    let left = meta
        .repositories(&["p".to_owned()], None, 10)
        .await
        .unwrap();
    assert_eq!(left, [name("p/other")]);
    assert!(database.has_blob("p/other", "base").await);
    assert!(!database.has_tag("image-3").await && !database.has_manifest("p/r", "image 3").await);
    assert_eq!(meta.delete_some_of(&name("p/never")).await.unwrap(), None);
    // And it may come again.
    database
        .commit([tagged(image("p/r", "new", &["base"]), "v1")])
        .await;
    assert!(database.has_tag("v1").await);
}
