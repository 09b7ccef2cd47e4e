//! Which tags something is about that refers to a manifest, and whether there is any.

use super::{
    images::{index, referrer, tagged},
    *,
};

on_both! {
    what_refers_to_a_manifest_is_about_the_tags_of_all_that_is_above_it,
    who_has_a_manifest_with_referrers_below_is_told_so,
}

async fn put(meta: &Meta, commits: impl IntoIterator<Item = ManifestCommit>) {
    for commit in commits {
        meta.manifest_commit(commit).await.unwrap();
    }
}

async fn what_refers_to_a_manifest_is_about_the_tags_of_all_that_is_above_it(database: Database) {
    let meta = &database.meta;
    let commits = [
        tagged(commit("p/r", "image"), "one"),
        commit("p/r", "other"),
        tagged(index("p/r", "index", &["image", "other"]), "all"),
        referrer("p/r", "bill", "image", &[]),
        referrer("p/r", "signature", "bill", &[]),
        tagged(index("p/x", "elsewhere", &["image"]), "elsewhere"),
    ];
    put(meta, commits).await;
    let about = async |referrer: &str| {
        let tags = meta.subject_tags(&name("p/r"), &digest(referrer)).await;
        tags.unwrap()
    };
    assert_eq!(about("bill").await, [tag("one"), tag("all")]);
    assert_eq!(about("signature").await, [tag("one"), tag("all")]);
    assert_eq!(about("image").await, []);
    let of = meta.tags_of(&name("p/r"), &digest("other")).await;
    assert_eq!(of.unwrap(), [tag("all")]);
}

async fn who_has_a_manifest_with_referrers_below_is_told_so(database: Database) {
    let meta = &database.meta;
    let commits = [
        commit("p/r", "image"),
        commit("p/r", "signed"),
        commit("p/r", "plain"),
        index("p/r", "index", &["image", "plain"]),
        index("p/r", "beside", &["signed", "plain"]),
        referrer("p/r", "bill", "image", &[]),
    ];
    put(meta, commits).await;
    let sig = digest("signed").to_string().replace(':', "-");
    let signature = tagged(commit("p/r", "signature"), &format!("{sig}.sig"));
    put(meta, [signature]).await;
    for (content, expected) in [
        ("image", true),
        ("index", true),
        ("signed", true),
        ("beside", true),
        ("plain", false),
        ("bill", false),
    ] {
        let has = meta.has_referrers(&name("p/r"), &digest(content)).await;
        assert_eq!(has.unwrap(), expected, "{content}");
        let elsewhere = meta.has_referrers(&name("p/x"), &digest(content)).await;
        assert!(!elsewhere.unwrap());
    }
}
