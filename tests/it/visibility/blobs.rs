//! A repository has a stored blob, or one on its way, when its own remote says so.

use super::{Teams, assert_no_trace};
use crate::{
    fill::{KIB, until_hit},
    harness::{Fault, ImageBuilder, On, SlowReader, drain_sha256, get, head},
    server::on_both,
};

on_both! {
    a_stored_blob_is_not_there_for_a_repository_whose_remote_does_not_have_it,
    a_running_fill_is_not_there_for_a_repository_whose_remote_does_not_have_it,
    a_remote_that_refuses_or_is_down_proves_no_right,
    a_stored_blob_costs_a_repository_whose_remote_has_it_one_head,
    a_stored_blob_is_as_long_as_it_is_whatever_a_remote_says,
    a_running_fill_is_joined_by_a_repository_whose_remote_has_it,
    a_joined_repository_goes_on_with_its_own_remote_when_the_others_fails_at_once,
}

async fn a_stored_blob_is_not_there_for_a_repository_whose_remote_does_not_have_it() {
    let teams = Teams::new().await.hot().await;
    teams.assert_hidden_from_b().await;
    assert_eq!(get(&teams.url_a()).await.header("x-cache"), "hit");
}

async fn a_running_fill_is_not_there_for_a_repository_whose_remote_does_not_have_it() {
    let teams = Teams::new().await;
    let hold = teams.a.hold_after(On::blob().get(), 512 * KIB as u64);
    let mut reader = SlowReader::open(&teams.url_a(), &[]).await;
    reader.read(KIB).await;
    teams.assert_hidden_from_b().await;
    hold.release();
    reader.read_to_end().await;
    assert!(reader.is_complete());
    until_hit(&teams.url_a()).await;
    teams.assert_hidden_from_b().await;
}

async fn a_remote_that_refuses_or_is_down_proves_no_right() {
    let teams = Teams::new().await.hot().await;
    teams.b.put_blob("other", teams.bytes.clone());
    teams.b.fault_always(On::blob(), Fault::status(403));
    assert_eq!(get(&teams.url_b()).await.status, 404);
    teams.b.stop().await;
    let answer = get(&teams.url_b()).await;
    assert!((502..=504).contains(&answer.status));
    assert_no_trace(&answer, &teams.bytes);
}

async fn a_stored_blob_costs_a_repository_whose_remote_has_it_one_head() {
    let teams = Teams::new().await.hot().await;
    teams.b.put_blob("other", teams.bytes.clone());
    for _ in 0..2 {
        let answer = get(&teams.url_b()).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
        assert!(answer.complete && answer.body == teams.bytes);
    }
    assert_eq!(
        (
            teams.b.count(On::blob().head()),
            teams.b.count(On::blob().get())
        ),
        (1, 0)
    );
}

async fn a_stored_blob_is_as_long_as_it_is_whatever_a_remote_says() {
    let teams = Teams::new().await.hot().await;
    teams.b.put_blob("other", teams.bytes.clone());
    let wrong = Fault::WrongContentLength(7);
    teams.b.fault_always(On::blob().head(), wrong);
    let answer = head(&teams.url_b()).await;
    let length = teams.bytes.len().to_string();
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, &*length)
    );
}

async fn a_running_fill_is_joined_by_a_repository_whose_remote_has_it() {
    let teams = Teams::new().await;
    teams.b.put_blob("other", teams.bytes.clone());
    let hold = teams.a.hold_after(On::blob().get(), 512 * KIB as u64);
    let mut first = SlowReader::open(&teams.url_a(), &[]).await;
    first.read(KIB).await;
    let mut joined = SlowReader::open(&teams.url_b(), &[]).await;
    assert_eq!(joined.headers["x-cache"], "joined");
    assert!(joined.read(256 * KIB).await == teams.bytes[..256 * KIB]);
    hold.release();
    assert!(joined.read_to_end().await == teams.bytes[256 * KIB..]);
    until_hit(&teams.url_b()).await;
    assert_eq!(
        (
            teams.b.count(On::blob().head()),
            teams.b.count(On::blob().get())
        ),
        (1, 0)
    );
    assert_eq!(teams.a.count(On::blob().get()), 1);
}

async fn a_joined_repository_goes_on_with_its_own_remote_when_the_others_fails_at_once() {
    let teams = Teams::new().await;
    let image = ImageBuilder::new(3).shared_layer(9, 64 * KIB).build();
    let layer = image.layers().remove(0);
    teams.b.put_image("other", "v1", &image);
    assert_eq!(
        get(&teams.server.manifest_url("team-b/other", "v1"))
            .await
            .status,
        200
    );
    // Team a's remote does not have it, but is slow to say so.
    let hold = teams.a.hold(On::blob().get());
    let (url_a, url_b) = ["team-a/private", "team-b/other"]
        .map(|repository| teams.server.blob_url(repository, &layer))
        .into();
    let asked_a = tokio::spawn(async move { get(&url_a).await.status });
    hold.reached(1).await;
    let asked_b = tokio::spawn(async move { drain_sha256(&url_b).await });
    hold.release();
    assert_eq!(asked_a.await.expect("it is answered"), 404);
    let drained = asked_b.await.expect("it is answered");
    assert!(drained.complete && drained.digest == layer);
}
