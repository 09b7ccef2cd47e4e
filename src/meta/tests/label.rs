use super::{
    images::{image, tagged},
    *,
};
use crate::meta::Removal;

on_both! {
    a_manifest_has_the_labels_that_were_set_last_until_it_goes,
}

async fn a_manifest_has_the_labels_that_were_set_last_until_it_goes(database: Database) {
    let meta = &database.meta;
    let (repository, one) = (name("p/r"), digest("one"));
    let set = async |repository: &str, content: &str, labels: &[&str]| {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        let (repository, digest) = (name(repository), digest(content));
        meta.labels_set(&repository, &digest, labels).await.unwrap()
    };
    let labels = async || meta.labels(&repository, &one).await.unwrap();
    assert!(!set("p/r", "one", &["prod"]).await);
    database
        .commit([
            tagged(image("p/r", "one", &[]), "v1"),
            image("p/r", "two", &[]),
            image("p/s", "one", &[]),
        ])
        .await;
    assert!(!set("p/r", "three", &["prod"]).await);
    assert!(set("p/r", "one", &["stable", "prod", "stable"]).await);
    assert!(set("p/s", "one", &["elsewhere"]).await);
    assert_eq!(labels().await, ["prod", "stable"]);
    assert!(set("p/r", "one", &["Beta"]).await);
    // What comes again is what was there.
    database.commit([image("p/r", "one", &[])]).await;
    assert_eq!(labels().await, ["Beta"]);
    let removed = meta.image_delete(&repository, &one, Removal::Purge).await;
    assert!(removed.unwrap().is_some());
    assert_eq!(labels().await, Vec::<String>::new());
    let elsewhere = meta.labels(&name("p/s"), &one).await.unwrap();
    assert_eq!(elsewhere, ["elsewhere"]);
}
