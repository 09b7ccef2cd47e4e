//! Pins.

use super::*;
use crate::oci::Reference;

on_both! {
    a_pin_is_there_until_it_is_taken_away,
    an_image_is_pinned_by_its_digest_and_by_a_pinned_tag_of_it,
    a_pin_alone_shows_no_repository,
}

async fn a_pin_is_there_until_it_is_taken_away(database: Database) {
    let meta = &database.meta;
    let (repository, image) = (name("p/r"), digest("image"));
    let latest = Reference::Tag(tag("latest"));
    let pinned = async || meta.pinned(&repository, &latest, &image).await.unwrap();
    assert!(!pinned().await);
    assert!(!meta.pin_delete(&repository, &latest).await.unwrap());
    for _ in 0..2 {
        meta.pin_put(&repository, &latest).await.unwrap();
    }
    assert!(pinned().await);
    let other = name("p/other");
    assert!(!meta.pinned(&other, &latest, &image).await.unwrap());
    assert!(meta.pin_delete(&repository, &latest).await.unwrap());
    assert!(!meta.pin_delete(&repository, &latest).await.unwrap());
    assert!(!pinned().await);
}

async fn an_image_is_pinned_by_its_digest_and_by_a_pinned_tag_of_it(database: Database) {
    let meta = &database.meta;
    let repository = name("p/r");
    let [tagged, other] = ["tagged", "other"].map(digest);
    let (one, two) = (Reference::Tag(tag("one")), Reference::Tag(tag("two")));
    for text in ["one", "two"] {
        let row = row("tagged", 1);
        meta.tag_put(&repository, &tag(text), row).await.unwrap();
    }
    let pinned = async |reference: &Reference, digest: &Digest| {
        meta.pinned(&repository, reference, digest).await.unwrap()
    };
    let by_digest = Reference::Digest(tagged.clone());
    meta.pin_put(&repository, &one).await.unwrap();
    assert!(pinned(&one, &tagged).await);
    assert!(pinned(&by_digest, &tagged).await);
    // A pin of another tag is none of this one's.
    assert!(!pinned(&two, &tagged).await);
    assert!(!pinned(&Reference::Digest(other.clone()), &other).await);
    meta.pin_put(&repository, &by_digest).await.unwrap();
    assert!(pinned(&two, &tagged).await);
}

async fn a_pin_alone_shows_no_repository(database: Database) {
    let meta = &database.meta;
    let latest = Reference::Tag(tag("latest"));
    meta.pin_put(&name("p/r"), &latest).await.unwrap();
    let shown = meta
        .repositories(&["p".to_owned()], None, 10)
        .await
        .unwrap();
    assert_eq!(shown, []);
}
