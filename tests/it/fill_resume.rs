//! A remote that breaks in mid-blob: the fill goes on from the byte where it stopped, and clients notice nothing.

use crate::{
    fill::{KIB, MIB, Scene},
    harness::{FakeRegistry, Fault, On, SlowReader},
    server::{Setup, on_both},
};

on_both! {
    a_cut_body_goes_on_from_its_byte_and_the_client_gets_one_whole_answer,
    a_reset_connection_goes_on_from_what_came,
    a_body_that_stalls_counts_as_broken_after_the_idle_timeout,
    a_remote_that_is_unavailable_when_asked_for_the_rest_is_asked_again,
    a_remote_that_breaks_again_and_again_is_followed_to_the_end,
    a_remote_that_ignores_the_range_is_read_past_what_is_here,
    a_part_that_begins_elsewhere_is_not_used,
    a_part_shorter_than_asked_for_is_followed_by_the_next,
    another_url_of_the_remote_gives_the_rest,
    clients_are_cut_when_no_byte_came_for_too_long_and_the_next_one_goes_on,
    a_remote_that_lost_the_blob_in_the_middle_is_believed_in_the_end,
    a_remote_of_which_one_server_does_not_have_the_blob_yet_is_asked_on,
}

const IMPATIENT: &str = "idle_timeout = \"300ms\"\nheader_timeout = \"1s\"\nretry_for = \"1s\"";
const HALF: u64 = 512 * KIB as u64;

async fn a_cut_body_goes_on_from_its_byte_and_the_client_gets_one_whole_answer() {
    for scene in [Scene::unknown(MIB).await, Scene::named(MIB).await] {
        scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
        scene.assert_whole(&scene.client().await.expect("a client ends"));
        assert_eq!(scene.ranges(), ["", "bytes=524288-"]);
        assert_eq!(scene.remote.bytes_sent(On::blob()), MIB as u64);
    }
}

async fn a_reset_connection_goes_on_from_what_came() {
    let scene = Scene::unknown(MIB).await;
    scene
        .remote
        .fault(On::blob().get(), Fault::ResetAfter(HALF));
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    let resumed = scene.ranges().remove(1);
    let offset = resumed.trim_start_matches("bytes=").trim_end_matches('-');
    let offset: u64 = offset.parse().unwrap_or(0);
    assert!(offset <= HALF, "{resumed}");
    assert_eq!(scene.downloads(), 2);
}

async fn a_body_that_stalls_counts_as_broken_after_the_idle_timeout() {
    let scene = Scene::unknown_with(MIB, IMPATIENT).await;
    scene.remote.fault(On::blob().get(), Fault::HangAfter(HALF));
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert_eq!(scene.ranges(), ["", "bytes=524288-"]);
}

async fn a_remote_that_is_unavailable_when_asked_for_the_rest_is_asked_again() {
    let scene = Scene::unknown(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
    scene
        .remote
        .fault_times(On::blob().ranged(), 2, Fault::status(503));
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert_eq!(scene.ranges()[1..], ["bytes=524288-"; 3]);
}

async fn a_remote_that_breaks_again_and_again_is_followed_to_the_end() {
    let scene = Scene::named(MIB).await;
    scene
        .remote
        .fault_times(On::blob().get(), 8, Fault::CutAfter(128 * KIB as u64));
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert_eq!(scene.remote.bytes_sent(On::blob()), MIB as u64);
}

async fn a_remote_that_ignores_the_range_is_read_past_what_is_here() {
    let scene = Scene::unknown(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
    scene
        .remote
        .fault_always(On::blob().ranged(), Fault::IgnoreRange);
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert_eq!(scene.downloads(), 2);
}

async fn a_part_that_begins_elsewhere_is_not_used() {
    let scene = Scene::unknown(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
    scene
        .remote
        .fault(On::blob().ranged(), Fault::WrongContentRange);
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert_eq!(scene.ranges()[1..], ["bytes=524288-"; 2]);
}

async fn a_part_shorter_than_asked_for_is_followed_by_the_next() {
    let scene = Scene::unknown(MIB).await;
    scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
    scene
        .remote
        .fault(On::blob().ranged(), Fault::ShortRange(1000));
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert_eq!(scene.ranges(), ["", "bytes=524288-", "bytes=525288-"]);
}

async fn another_url_of_the_remote_gives_the_rest() {
    let first = FakeRegistry::start().await;
    let second = FakeRegistry::builder().content_of(&first).start().await;
    let bytes = crate::harness::random_bytes(7, MIB);
    let digest = first.put_blob("app", bytes.clone());
    let urls = format!("{}\", \"{}", first.url(), second.url());
    let server = Setup::empty()
        .remote("r", &urls, "")
        .project("r", "r", "")
        .start()
        .await;
    let hold = first.hold_after(On::blob().get(), HALF);
    let mut reader = SlowReader::open(&server.blob_url("r/app", &digest), &[]).await;
    assert!(reader.read(KIB).await == bytes[..KIB]);
    hold.reached(1).await;
    first.stop().await;
    assert!(reader.read_to_end().await == bytes[KIB..]);
    let resumed = second.requests_on(&On::blob().get());
    assert_eq!(resumed[0].request.header("range"), "bytes=524288-");
}

async fn clients_are_cut_when_no_byte_came_for_too_long_and_the_next_one_goes_on() {
    let scene = Scene::unknown_with(MIB, IMPATIENT).await;
    scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
    scene
        .remote
        .fault_always(On::blob().ranged(), Fault::status(503));
    let (one, other) = (scene.client(), scene.client());
    for client in [one, other] {
        let drained = client.await.expect("a client ends");
        assert!(!drained.complete && drained.bytes <= HALF, "{drained:?}");
    }
    scene.remote.clear_faults();
    scene.remote.forget_requests();
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert_eq!(scene.ranges(), ["bytes=524288-"]);
}

async fn a_remote_of_which_one_server_does_not_have_the_blob_yet_is_asked_on() {
    for status in [404, 401, 403] {
        let scene = Scene::unknown(MIB).await;
        scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
        scene
            .remote
            .fault_times(On::blob().get(), 6, Fault::status(status));
        scene.assert_whole(&scene.client().await.expect("a client ends"));
    }
}

async fn a_remote_that_lost_the_blob_in_the_middle_is_believed_in_the_end() {
    let scene = Scene::unknown_with(MIB, IMPATIENT).await;
    let hold = scene.remote.hold_after(On::blob().get(), HALF);
    scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
    let client = scene.client();
    hold.reached(1).await;
    scene.remote.remove_blob("team/app", &scene.digest);
    hold.release();
    assert!(!client.await.expect("a client ends").complete);
    let answer = crate::harness::get(&scene.url()).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (404, "BLOB_UNKNOWN")
    );
}
