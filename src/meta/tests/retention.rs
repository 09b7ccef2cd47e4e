//! Tags that go by themselves: what goes with them, and what keeps them.

use super::{
    images::{image, index, referrer, tagged},
    *,
};
use crate::meta::PushedTag;

on_both! {
    a_tag_that_is_due_takes_along_what_only_it_kept,
    what_leads_to_referrers_goes_with_the_subject,
    a_tag_that_was_pushed_again_or_pinned_meanwhile_stays,
    pushed_tags_come_in_pages_with_what_pins_them,
}

impl Database {
    async fn pushed(&self, text: &str) -> PushedTag {
        let tags = self.meta.pushed_tags(&name("p/r"), None, 100).await;
        let mut tags = tags.unwrap().into_iter();
        tags.find(|pushed| pushed.tag == tag(text)).unwrap()
    }

    /// Was it due still?
    async fn retire(&self, text: &str) -> bool {
        let due = self.pushed(text).await;
        let retired = self.meta.tag_retire(&name("p/r"), due).await;
        retired.unwrap().is_some()
    }

    async fn pin(&self, reference: &str) {
        let reference = reference.parse().unwrap();
        self.meta.pin_put(&name("p/r"), &reference).await.unwrap();
    }
}

async fn a_tag_that_is_due_takes_along_what_only_it_kept(database: Database) {
    database
        .commit([
            tagged(index("p/r", "index", &["arm", "amd", "s390"]), "v1"),
            tagged(index("p/r", "other", &["amd"]), "v2"),
            image("p/r", "arm", &["layer of arm"]),
            image("p/r", "amd", &[]),
            tagged(image("p/r", "s390", &[]), "s390"),
            referrer("p/r", "signature", "index", &["signature blob"]),
            tagged(referrer("p/r", "sbom", "index", &[]), "sbom"),
        ])
        .await;
    database
        .link("p/r", &["layer of arm", "signature blob"])
        .await;
    assert!(database.retire("v1").await);
    for (content, stays) in [
        ("index", false),
        ("arm", false),
        ("signature", false),
        ("other", true),
        ("amd", true),
        ("s390", true),
        ("sbom", true),
    ] {
        let is_here = database.has_manifest("p/r", content).await;
        assert_eq!(is_here, stays, "{content}");
    }
    // As after a delete: somebody may count on them.
    assert!(database.has_blob("p/r", "layer of arm").await);
    // What was kept by its tag alone goes with that one.
    assert!(database.retire("sbom").await);
    assert!(!database.has_manifest("p/r", "sbom").await);
}

async fn what_leads_to_referrers_goes_with_the_subject(database: Database) {
    let fallback = digest("image").to_string().replace(':', "-");
    let signature = format!("{fallback}.sig");
    let another = digest("another").to_string().replace(':', "-");
    database
        .commit([
            tagged(image("p/r", "image", &[]), "v1"),
            tagged(index("p/r", "list of referrers", &["sbom"]), &fallback),
            tagged(image("p/r", "signature", &[]), &signature),
            referrer("p/r", "sbom", "image", &[]),
            tagged(index("p/r", "of another", &[]), &another),
        ])
        .await;
    assert!(database.retire("v1").await);
    for content in ["image", "list of referrers", "signature", "sbom"] {
        assert!(!database.has_manifest("p/r", content).await, "{content}");
    }
    assert!(database.has_manifest("p/r", "of another").await);
    let left = database.meta.pushed_tags(&name("p/r"), None, 100).await;
    assert_eq!(left.unwrap().len(), 1);
}

async fn a_tag_that_was_pushed_again_or_pinned_meanwhile_stays(database: Database) {
    let first = tagged(image("p/r", "first", &[]), "v1");
    database.commit([first.clone()]).await;
    let due = database.pushed("v1").await;
    let retire = async || {
        let retired = database.meta.tag_retire(&name("p/r"), due.clone()).await;
        retired.unwrap().is_some()
    };
    database
        .commit([tagged(image("p/r", "second", &[]), "v1")])
        .await;
    assert!(!retire().await);
    database
        .commit([ManifestCommit {
            tag: Some((tag("v1"), at(2))),
            ..first
        }])
        .await;
    assert!(!retire().await);
    for reference in ["v1".to_owned(), digest("first").to_string()] {
        database.pin(&reference).await;
        assert!(!database.retire("v1").await, "{reference}");
        database.run("DELETE FROM pin").await;
    }
    assert!(database.retire("v1").await);
}

async fn pushed_tags_come_in_pages_with_what_pins_them(database: Database) {
    for (content, text) in [("a", "v1"), ("b", "v2"), ("c", "v3")] {
        database
            .commit([tagged(image("p/r", content, &[]), text)])
            .await;
    }
    database
        .run("UPDATE tag SET pushed_at = 7000 WHERE name = 'v2'")
        .await;
    database.pin("v1").await;
    database.pin(&digest("c").to_string()).await;
    let page = async |after: Option<&str>| {
        let after = after.map(tag);
        let repository = name("p/r");
        let page = database.meta.pushed_tags(&repository, after.as_ref(), 2);
        let page = page.await.unwrap().into_iter();
        let row = |tag: PushedTag| {
            (
                tag.tag.to_string(),
                tag.digest,
                tag.pushed_at,
                tag.is_pinned,
            )
        };
        page.map(row).collect::<Vec<_>>()
    };
    assert_eq!(
        page(None).await,
        [
            ("v1".to_owned(), digest("a"), at(1), true),
            ("v2".to_owned(), digest("b"), at(7), false),
        ]
    );
    assert_eq!(
        page(Some("v2")).await,
        [("v3".to_owned(), digest("c"), at(1), true)]
    );
    assert_eq!(page(Some("v3")).await, []);
}
