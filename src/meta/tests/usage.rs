//! How much there is, and how much of that never goes.

use super::{
    images::{image, index, tagged},
    *,
};
use crate::meta::Counted;

on_both! {
    usage_counts_each_blob_once_wherever_it_is,
    what_is_never_evicted_counts_with_all_that_it_names,
}

async fn usage_counts_each_blob_once_wherever_it_is(database: Database) {
    let meta = &database.meta;
    let sum = async |counted: Counted<'_>, limit: u32| {
        let (mut bytes, mut pages) = (0, 0);
        let mut after = None;
        while let Some(page) = meta
            .usage_page(counted, after.as_ref(), limit)
            .await
            .unwrap()
        {
            bytes += page.bytes;
            pages += 1;
            after = Some(page.last);
        }
        (bytes, pages)
    };
    assert_eq!(sum(Counted::Without(&[]), 10).await, (0, 0));
    database
        .commit([
            image("p/r", "image", &["layer"]),
            image("p/s", "image", &[]),
        ])
        .await;
    database.link("p/r", &["layer"]).await;
    database.link("q/r", &["layer", "other"]).await;
    database.link("pq", &["third"]).await;
    for (counted, bytes) in [
        (Counted::Without(&[]), 123 + 30),
        (Counted::Of(&["p"]), 133),
        (Counted::Of(&["q", "pq"]), 30),
        (Counted::Without(&["q"]), 123 + 10),
        (Counted::Of(&["r"]), 0),
    ] {
        for (limit, pages) in [(1, 4), (3, 2), (4, 1), (10, 1)] {
            assert_eq!(sum(counted, limit).await, (bytes, pages), "{counted:?}");
        }
    }
}

async fn what_is_never_evicted_counts_with_all_that_it_names(database: Database) {
    let meta = &database.meta;
    database
        .commit([
            image("p/r", "seeded", &["layer", "base"]),
            tagged(index("p/r", "index", &["child"]), "v1"),
            image("p/r", "child", &["base", "of child"]),
            image("p/r", "cached", &["cached layer"]),
            image("q/r", "elsewhere", &["layer", "pinned layer"]),
        ])
        .await;
    let blobs = ["layer", "base", "of child", "cached layer"];
    database.link("p/r", &blobs).await;
    database.link("q/r", &["layer", "pinned layer"]).await;
    assert_eq!(meta.usage_kept(&["p", "q"]).await.unwrap(), 0);
    Statement::new("UPDATE manifest SET seeded = TRUE WHERE digest = $1")
        .bind(&digest("seeded"))
        .execute(&mut *database.outside().await)
        .await
        .unwrap();
    assert_eq!(meta.usage_kept(&["p"]).await.unwrap(), 123 + 20);
    let pin = async |repository: &str, reference: &str| {
        let reference = reference.parse().unwrap();
        meta.pin_put(&name(repository), &reference).await.unwrap();
    };
    pin("p/r", "v1").await;
    pin("q/r", &digest("elsewhere").to_string()).await;
    pin("q/r", "not-here").await;
    assert_eq!(meta.usage_kept(&["p"]).await.unwrap(), 3 * 123 + 30);
    assert_eq!(meta.usage_kept(&["q"]).await.unwrap(), 123 + 20);
    // The layer that both have is on the disk once.
    assert_eq!(meta.usage_kept(&["p", "q"]).await.unwrap(), 4 * 123 + 40);
    assert_eq!(meta.usage_kept(&["r"]).await.unwrap(), 0);
}
