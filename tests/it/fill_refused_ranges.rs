//! Remotes that answer ranges badly, and whole blobs well: no blob is out of reach because some of it is here.

use crate::{
    fill::{KIB, MIB, Scene},
    harness::{FakeRegistry, Fault, On, SlowReader, get, get_range, random_bytes},
    server::{Setup, on_both},
    small_disk::SmallDisk,
};

on_both! {
    a_remote_that_refuses_ranges_is_asked_for_all_of_it,
    a_remote_that_refuses_one_range_is_asked_for_it_again,
    what_an_earlier_fill_left_keeps_no_blob_out_of_reach,
    a_remote_that_refuses_everything_is_not_asked_for_ever,
    a_416_to_a_range_is_no_wrong_content,
    a_416_is_believed_when_all_of_it_was_asked_for_and_nothing_more_came,
    all_of_it_that_breaks_before_the_rest_is_asked_for_again,
    a_flipped_byte_beside_refused_ranges_is_never_complete,
}

const IMPATIENT: &str = "idle_timeout = \"300ms\"\nheader_timeout = \"1s\"\nretry_for = \"1s\"";
const HALF: u64 = 512 * KIB as u64;
const REST: &str = "bytes=524288-";

fn refusals() -> Vec<Fault> {
    let statuses = [400, 403, 405, 416, 501].map(Fault::status);
    let headers = [
        Fault::WrongContentRange,
        Fault::NoHeader("content-range"),
        Fault::Header("Content-Range", "bytes */1048576".to_owned()),
    ];
    statuses.into_iter().chain(headers).collect()
}

/// The blob breaks off at its half, and ranges are answered like this.
fn break_and_refuse(scene: &Scene, refusal: Fault) {
    scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
    scene.remote.fault_always(On::blob().ranged(), refusal);
}

/// One client that is quick, one that is slow, and one that wants a part.
async fn assert_all_served(scene: &Scene) {
    let url = scene.url();
    let mut slow = SlowReader::open(&url, &[]).await;
    assert_eq!(slow.status, 200);
    assert!(slow.read(KIB).await == scene.bytes[..KIB]);
    let (quick, part) = tokio::join!(scene.client(), get_range(&url, "500000-1048575"));
    scene.assert_whole(&quick.expect("a client ends"));
    assert_eq!((part.status, part.complete), (206, true));
    assert!(part.body == scene.bytes[500_000..]);
    assert!(slow.read_to_end().await == scene.bytes[KIB..]);
    assert!(slow.is_complete());
    scene.assert_stored().await;
}

async fn a_remote_that_refuses_ranges_is_asked_for_all_of_it() {
    for (number, refusal) in refusals().into_iter().enumerate() {
        let scene = match number % 2 {
            0 => Scene::unknown(MIB).await,
            _ => Scene::named(MIB).await,
        };
        break_and_refuse(&scene, refusal.clone());
        assert_all_served(&scene).await;
        assert_eq!(scene.ranges(), ["", REST, REST, ""], "{refusal:?}");
    }
}

async fn a_remote_that_refuses_one_range_is_asked_for_it_again() {
    for refusal in refusals() {
        let scene = Scene::unknown(MIB).await;
        scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
        scene.remote.fault(On::blob().ranged(), refusal.clone());
        assert_all_served(&scene).await;
        assert_eq!(scene.ranges(), ["", REST, REST], "{refusal:?}");
    }
}

async fn what_an_earlier_fill_left_keeps_no_blob_out_of_reach() {
    for (number, refusal) in refusals().into_iter().enumerate() {
        let scene = match number % 2 {
            0 => Scene::named_with(MIB, IMPATIENT).await,
            _ => Scene::unknown_with(MIB, IMPATIENT).await,
        };
        break_and_refuse(&scene, Fault::status(503));
        assert!(!scene.client().await.expect("a client ends").complete);
        scene.server.settled().await;
        scene.remote.clear_faults();
        scene.remote.forget_requests();
        scene
            .remote
            .fault_always(On::blob().ranged(), refusal.clone());
        assert_all_served(&scene).await;
        assert_eq!(scene.ranges(), [REST, REST, ""], "{refusal:?}");
    }
}

async fn a_remote_that_refuses_everything_is_not_asked_for_ever() {
    for (status, said) in [(400, 502), (403, 404), (405, 502)] {
        let scene = Scene::unknown_with(MIB, IMPATIENT).await;
        let hold = scene.remote.hold_after(On::blob().get(), HALF);
        scene.remote.fault(On::blob().get(), Fault::CutAfter(HALF));
        let client = scene.client();
        hold.reached(1).await;
        scene
            .remote
            .fault_always(On::blob().get(), Fault::status(status));
        hold.release();
        assert!(!client.await.expect("a client ends").complete);
        assert!(scene.downloads() < 30, "{}", scene.downloads());
        scene.server.settled().await;
        scene.remote.forget_requests();
        let answer = get(&scene.url()).await;
        assert_eq!(answer.status, said, "{status}");
        assert_eq!(scene.ranges(), [REST, REST, ""], "{status}");
    }
}

async fn a_416_to_a_range_is_no_wrong_content() {
    // Also of a remote that says no length.
    let scene = Scene::unknown(MIB).await;
    scene
        .remote
        .configure(|options| options.length_header = false);
    break_and_refuse(&scene, Fault::status(416));
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    scene.assert_stored().await;
}

async fn a_416_is_believed_when_all_of_it_was_asked_for_and_nothing_more_came() {
    let scene = Scene::unknown(MIB).await;
    scene
        .remote
        .fault_always(On::blob().get(), Fault::WrongContentLength(100));
    scene
        .remote
        .fault_always(On::blob().get().unranged(), Fault::FlipByteAt(1000));
    scene.assert_cut("").await;
    scene.server.settled().await;
    assert!(!scene.spool().exists() && !scene.file().exists());
    let end = "bytes=1048576-";
    assert_eq!(scene.ranges(), ["", end, end, "", end]);
    scene.remote.clear_faults();
    scene.assert_whole(&scene.client().await.expect("a client ends"));
}

async fn all_of_it_that_breaks_before_the_rest_is_asked_for_again() {
    for refusal in [Fault::status(416), Fault::status(403)] {
        let scene = Scene::unknown(MIB).await;
        break_and_refuse(&scene, refusal);
        scene
            .remote
            .fault(On::blob().get().unranged(), Fault::CutAfter(HALF / 2));
        scene
            .remote
            .fault(On::blob().get().unranged(), Fault::CutAfter(HALF + 1000));
        assert_all_served(&scene).await;
        let rest = "bytes=525288-";
        let all = ["", REST, REST, "", REST, "", rest, ""];
        assert_eq!(scene.ranges(), all);
    }
}

async fn a_flipped_byte_beside_refused_ranges_is_never_complete() {
    let scene = Scene::unknown(MIB).await;
    let hold = scene.remote.hold_after(On::blob().get(), HALF);
    break_and_refuse(&scene, Fault::status(400));
    // In what is sent once more it is not looked at; in the rest it counts.
    scene
        .remote
        .fault(On::blob().get().unranged(), Fault::FlipByteAt(HALF + 1000));
    let mut slow = SlowReader::open(&scene.url(), &[]).await;
    assert!(slow.read(KIB).await == scene.bytes[..KIB]);
    let (url, quick) = (scene.url(), scene.client());
    let part = tokio::spawn(async move { get_range(&url, "600000-").await });
    scene.until_connected(3).await;
    hold.release();
    assert!(!quick.await.expect("a client ends").complete);
    assert!(!part.await.expect("a client ends").complete);
    slow.read_to_end().await;
    assert!(!slow.is_complete());
    scene.server.settled().await;
    assert!(!scene.spool().exists() && !scene.file().exists());
    scene.remote.clear_faults();
    assert_all_served(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_what_is_passed_on_is_read_from_all_of_it() {
    let (remote, disk) = (FakeRegistry::start().await, SmallDisk::new(8));
    let bytes = random_bytes(7, MIB);
    let digest = remote.put_blob("app", bytes.clone());
    let setup = Setup::empty().section("free_floor = \"0\"");
    let server = disk.hold(setup.mirror("r", &remote, "")).start().await;
    disk.fill_up(0);
    for refusal in refusals() {
        remote.clear_faults();
        remote.fault_always(On::blob().get().ranged(), refusal.clone());
        let part = get_range(&server.blob_url("r/app", &digest), "500000-500999").await;
        assert_eq!((part.status, part.complete), (206, true), "{refusal:?}");
        assert!(part.body == bytes[500_000..501_000]);
    }
}
