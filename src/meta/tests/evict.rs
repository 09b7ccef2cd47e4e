//! Images that go as a whole, and in which order; what is used, loose, lost and gone.

use std::{collections::HashSet, sync::Arc};

use super::{
    images::{end, image, index, referrer, tagged},
    *,
};
use crate::meta::{Removal, Removed, Root};

on_both! {
    an_image_goes_with_what_is_below_it_its_referrers_and_its_tags,
    what_another_index_names_stays_and_so_does_what_is_below_that,
    a_child_of_two_indexes_goes_with_the_one_that_is_above_both,
    what_is_pinned_seeded_used_since_or_being_filled_is_not_evicted,
    roots_come_in_the_order_of_their_last_use,
    manifests_of_an_earlier_version_count_as_used_when_they_came,
    links_that_nothing_names_are_loose_once_nobody_wanted_them_for_a_while,
    content_whose_file_is_lost_is_linked_nowhere_and_a_manifest_keeps_its_rows,
    uses_are_written_when_they_are_flushed,
}

impl Database {
    async fn purge(&self, repository: &str, content: &str) -> Option<Removed> {
        let (repository, digest) = (name(repository), digest(content));
        let deleted = self.meta.image_delete(&repository, &digest, Removal::Purge);
        deleted.await.unwrap()
    }

    async fn evict(
        &self,
        repository: &str,
        content: &str,
        used_at: SystemTime,
        filling: &[&str],
    ) -> bool {
        let filling: HashSet<_> = filling.iter().map(|blob| digest(blob)).collect();
        let removal = Removal::Evict {
            used_at,
            filling: Arc::new(filling),
        };
        let (repository, digest) = (name(repository), digest(content));
        let deleted = self.meta.image_delete(&repository, &digest, removal);
        deleted.await.unwrap().is_some()
    }

    /// The roots in the order in which they go, looked up two at a time.
    async fn roots(&self, project: Option<&str>) -> Vec<Root> {
        let mut roots: Vec<Root> = Vec::new();
        loop {
            let page = self.meta.eviction_candidates(project, roots.last(), 2);
            let page = page.await.unwrap();
            if page.is_empty() {
                return roots;
            }
            roots.extend(page);
        }
    }

    async fn root_digests(&self, project: Option<&str>) -> Vec<Digest> {
        let roots = self.roots(project).await.into_iter();
        roots.map(|root| root.digest).collect()
    }

    async fn use_at(&self, repository: &str, content: &str, seconds: u64) {
        let uses = [(name(repository), digest(content))];
        self.meta.touch(&uses, at(seconds)).await.unwrap();
    }
}

fn digests<'a>(contents: impl IntoIterator<Item = &'a str>) -> HashSet<Digest> {
    contents.into_iter().map(digest).collect()
}

async fn an_image_goes_with_what_is_below_it_its_referrers_and_its_tags(database: Database) {
    database
        .commit([
            tagged(index("p/r", "index", &["arm", "amd", "never pulled"]), "v1"),
            tagged(image("p/r", "amd", &["config", "base"]), "v1-amd"),
            image("p/r", "arm", &["arm layer"]),
            referrer("p/r", "signature", "index", &["signature blob"]),
            referrer("p/r", "signature of the signature", "signature", &[]),
            tagged(image("p/r", "other", &["base"]), "other"),
            image("p/elsewhere", "elsewhere", &["arm layer"]),
        ])
        .await;
    database
        .link(
            "p/r",
            &["config", "base", "arm layer", "signature blob", "arm"],
        )
        .await;
    database.link("p/elsewhere", &["arm layer"]).await;
    // All in the caches.
    assert!(database.has_blob("p/r", "config").await && database.has_manifest("p/r", "arm").await);

    let removed = database.purge("p/r", "index").await.unwrap();
    let gone = [
        "index",
        "amd",
        "arm",
        "signature",
        "signature of the signature",
        "config",
        "signature blob",
    ];
    assert_eq!(
        removed.gone.iter().cloned().collect::<HashSet<_>>(),
        digests(gone)
    );
    assert_eq!(removed.bytes, 5 * 123 + 2 * 10);
    // `arm layer` is the project's still, in another repository of it.
    assert_eq!(removed.project_bytes, removed.bytes);
    for manifest in [
        "index",
        "amd",
        "arm",
        "signature",
        "signature of the signature",
    ] {
        assert!(!database.has_manifest("p/r", manifest).await, "{manifest}");
    }
    for blob in ["config", "arm layer", "signature blob", "arm"] {
        assert!(!database.has_blob("p/r", blob).await, "{blob}");
    }
    assert!(database.has_blob("p/r", "base").await && database.has_manifest("p/r", "other").await);
    assert!(database.has_blob("p/elsewhere", "arm layer").await);
    let tags: Vec<_> = database.meta.tags_since(&name("p/r"), at(0)).await.unwrap();
    assert_eq!(tags, [tag("other")]);
    assert_eq!(
        database.meta.blob_size(&digest("arm layer")).await.unwrap(),
        Some(10)
    );
    assert_eq!(database.meta.gone(100).await.unwrap().len(), gone.len());
    assert_eq!(database.purge("p/r", "index").await, None);
}

async fn what_another_index_names_stays_and_so_does_what_is_below_that(database: Database) {
    database
        .commit([
            index("p/r", "old", &["inner", "mine"]),
            index("p/r", "new", &["shared"]),
            index("p/r", "inner", &["shared", "of inner"]),
            image("p/r", "shared", &["layer"]),
            image("p/r", "of inner", &["layer"]),
            image("p/r", "mine", &["layer"]),
        ])
        .await;
    database.link("p/r", &["layer"]).await;
    let removed = database.purge("p/r", "old").await.unwrap();
    let gone = removed.gone.into_iter().collect::<HashSet<_>>();
    assert_eq!(gone, digests(["old", "inner", "mine", "of inner"]));
    assert!(
        database.has_manifest("p/r", "shared").await && database.has_blob("p/r", "layer").await
    );
    let removed = database.purge("p/r", "new").await.unwrap();
    assert!(removed.gone.contains(&digest("layer")) && removed.gone.len() == 3);
    // Nothing is left to be shown.
    assert_eq!(
        database
            .meta
            .repositories(&["p".to_owned()], None, 10)
            .await
            .unwrap(),
        []
    );
}

async fn a_child_of_two_indexes_goes_with_the_one_that_is_above_both(database: Database) {
    database
        .commit([
            index("p/r", "top", &["late", "child"]),
            index("p/r", "late", &["child"]),
            image("p/r", "child", &[]),
        ])
        .await;
    assert_eq!(database.purge("p/r", "top").await.unwrap().gone.len(), 3);
}

async fn what_is_pinned_seeded_used_since_or_being_filled_is_not_evicted(database: Database) {
    database
        .commit([
            tagged(index("p/r", "index", &["child"]), "v1"),
            image("p/r", "child", &["layer"]),
        ])
        .await;
    let stays = async || !database.evict("p/r", "index", end(), &[]).await;
    for reference in [
        digest("index").to_string(),
        digest("child").to_string(),
        "v1".to_owned(),
    ] {
        Statement::new("INSERT INTO pin SELECT id, $1, 0 FROM repository")
            .bind(reference.as_str())
            .execute(&mut *database.outside().await)
            .await
            .unwrap();
        assert!(stays().await, "{reference}");
        database.run("DELETE FROM pin").await;
    }
    database
        .run("UPDATE manifest SET seeded = TRUE WHERE size_bytes = 123")
        .await;
    assert!(stays().await);
    assert_eq!(database.root_digests(None).await, []);
    database.run("UPDATE manifest SET seeded = FALSE").await;
    assert!(!database.evict("p/r", "index", end(), &["x", "layer"]).await);
    let before = database.roots(None).await.remove(0).used_at;
    database.use_at("p/r", "child", 30_000_000_000).await;
    assert!(!database.evict("p/r", "index", before, &[]).await);
    let now = database.roots(None).await.remove(0).used_at;
    assert!(database.evict("p/r", "index", now, &["x"]).await);
}

async fn roots_come_in_the_order_of_their_last_use(database: Database) {
    database
        .commit([
            index("p/r", "index", &["child"]),
            image("p/r", "child", &["config"]),
            image("p/r", "one", &["base", "only of one"]),
            image("q/r", "two", &["base"]),
            image("p/r", "three", &["base"]),
            referrer("p/r", "signature", "index", &[]),
            referrer("p/r", "stray", "not here", &[]),
        ])
        .await;
    database.run("UPDATE manifest SET used_at = 1").await;
    let mut used = 100;
    for (repository, content, root) in [
        ("p/r", "stray", "stray"),
        ("p/r", "config", "index"),
        ("q/r", "two", "two"),
        ("p/r", "three", "three"),
        ("p/r", "only of one", "one"),
        ("p/r", "child", "index"),
    ] {
        used += 1;
        database.use_at(repository, content, used).await;
        // What several images name tells of none of them.
        database.use_at("p/r", "base", used + 1000).await;
        let last = database.roots(None).await.pop().unwrap();
        assert_eq!(
            (last.digest, last.used_at),
            (digest(root), at(used)),
            "{content}"
        );
    }
    let order = ["stray", "two", "three", "one", "index"].map(digest);
    assert_eq!(database.root_digests(None).await, order);
    assert_eq!(database.root_digests(Some("q")).await, [digest("two")]);
    // An earlier use changes nothing.
    database.use_at("p/r", "stray", 5).await;
    assert_eq!(database.root_digests(None).await, order);
}

async fn manifests_of_an_earlier_version_count_as_used_when_they_came(database: Database) {
    database.commit([image("p/r", "one", &[])]).await;
    database
        .run("UPDATE manifest SET used_at = 0, created_at = 7000")
        .await;
    database.meta.complete_uses().await.unwrap();
    assert_eq!(database.roots(None).await[0].used_at, at(7));
}

async fn links_that_nothing_names_are_loose_once_nobody_wanted_them_for_a_while(
    database: Database,
) {
    database.link("p/r", &["early", "loose", "wanted"]).await;
    database
        .commit([image("p/r", "image", &["early", "late"])])
        .await;
    database.link("p/r", &["late"]).await;
    let loose = async |before| {
        let links = database.meta.loose_links(None, before, 10).await.unwrap();
        links
            .into_iter()
            .map(|link| link.digest)
            .collect::<HashSet<_>>()
    };
    assert_eq!(loose(at(5)).await, digests([]));
    assert_eq!(loose(end()).await, digests(["loose", "wanted"]));
    database.use_at("p/r", "wanted", 30_000_000_000).await;
    let before = at(20_000_000_000);
    assert_eq!(loose(before).await, digests(["loose"]));
    let links = database
        .meta
        .loose_links(Some("p"), before, 10)
        .await
        .unwrap();
    let removed = database
        .meta
        .loose_link_delete(&links[0], before)
        .await
        .unwrap();
    assert_eq!((removed.gone, removed.bytes), (vec![digest("loose")], 10));
    assert!(!database.has_blob("p/r", "loose").await && database.has_blob("p/r", "wanted").await);
    // Named meanwhile.
    let wanted = database
        .meta
        .loose_links(None, end(), 10)
        .await
        .unwrap()
        .remove(0);
    database
        .commit([image("p/r", "another", &["wanted"])])
        .await;
    let removed = database
        .meta
        .loose_link_delete(&wanted, end())
        .await
        .unwrap();
    assert_eq!(removed, Removed::default());
    assert!(database.has_blob("p/r", "wanted").await);
}

async fn content_whose_file_is_lost_is_linked_nowhere_and_a_manifest_keeps_its_rows(
    database: Database,
) {
    database
        .commit([tagged(image("p/r", "image", &["layer"]), "v1")])
        .await;
    database.link("p/r", &["layer", "image"]).await;
    database.link("q/r", &["layer"]).await;
    assert!(database.has_blob("q/r", "layer").await);
    for content in ["layer", "image"] {
        database.meta.content_lost(&digest(content)).await.unwrap();
        for repository in ["p/r", "q/r"] {
            assert!(!database.has_blob(repository, content).await);
        }
    }
    assert_eq!(
        database.meta.blob_size(&digest("layer")).await.unwrap(),
        None
    );
    assert!(database.has_manifest("p/r", "image").await);
    // Nothing was deleted on purpose: there are no files to look for.
    assert_eq!(database.meta.gone(10).await.unwrap(), []);
}

async fn uses_are_written_when_they_are_flushed(database: Database) {
    database.commit([image("p/r", "image", &[])]).await;
    database.run("UPDATE manifest SET used_at = 1").await;
    database.meta.uses().note(&name("p/r"), &digest("image"));
    database
        .meta
        .uses()
        .note(&name("p/unknown"), &digest("image"));
    assert!(database.roots(None).await[0].used_at < at(1));
    database.meta.flush_uses().await.unwrap();
    let used = database.roots(None).await.remove(0).used_at;
    assert!(used.elapsed().unwrap() < Duration::from_mins(1));
}
