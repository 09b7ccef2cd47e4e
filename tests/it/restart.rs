//! What an unfinished fill leaves behind is used by the next process, and never believed unseen.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    fill::{KIB, MIB, Scene},
    harness::{FakeRegistry, Fault, On, SlowReader, drain_sha256, get, random_bytes},
    server::{Setup, on_both},
};

on_both! {
    a_server_that_was_stopped_in_mid_fill_goes_on_from_its_byte,
    a_remote_that_ignores_the_range_after_a_restart_is_read_past_what_is_here,
    a_spool_that_was_damaged_never_becomes_an_answer,
    a_spool_longer_than_the_blob_is_dropped,
    a_spool_that_is_whole_already_costs_no_byte,
    spools_that_are_too_old_are_swept_at_the_start,
    what_was_pulled_before_a_restart_is_a_hit_after_it,
}

const HALF: u64 = 512 * KIB as u64;

/// A fill whose remote sent half of the blob, and whose client has left.
async fn stopped_in_mid_fill(mut scene: Scene) -> Scene {
    let hold = scene.remote.hold_after(On::blob().get(), HALF);
    let mut reader = SlowReader::open(&scene.url(), &[]).await;
    reader.read(256 * KIB).await;
    hold.reached(1).await;
    // The next connection may begin only when all that was sent is on disk.
    until_spooled(&scene.spool(), HALF).await;
    drop(reader);
    scene.until_connected(0).await;
    scene.server.stop().await;
    hold.release();
    scene.remote.forget_requests();
    scene
}

async fn until_spooled(spool: &Path, bytes: u64) {
    let spooled = async {
        while std::fs::metadata(spool).map_or(0, |file| file.len()) < bytes {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(10), spooled).await;
    in_time.expect("what the remote sent is soon on disk");
}

async fn a_server_that_was_stopped_in_mid_fill_goes_on_from_its_byte() {
    for scene in [Scene::unknown(MIB).await, Scene::named(MIB).await] {
        let mut scene = stopped_in_mid_fill(scene).await;
        scene.server.start_again().await;
        scene.assert_whole(&scene.client().await.expect("a client ends"));
        assert_eq!(scene.ranges(), ["bytes=524288-"]);
        scene.assert_stored().await;
    }
}

async fn a_remote_that_ignores_the_range_after_a_restart_is_read_past_what_is_here() {
    let mut scene = stopped_in_mid_fill(Scene::unknown(MIB).await).await;
    scene.remote.configure(|options| options.ranges = false);
    scene.server.start_again().await;
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    assert_eq!(scene.downloads(), 1);
}

async fn a_spool_that_was_damaged_never_becomes_an_answer() {
    for damage in [flip_a_byte, append_bytes] {
        let mut scene = stopped_in_mid_fill(Scene::unknown(MIB).await).await;
        damage(&scene.spool());
        scene.server.start_again().await;
        assert!(!scene.client().await.expect("a client ends").complete);
        assert!(!scene.spool().exists() && !scene.file().exists());
        scene.remote.forget_requests();
        scene.assert_whole(&scene.client().await.expect("a client ends"));
        assert_eq!(scene.ranges(), [""]);
    }
}

fn flip_a_byte(spool: &Path) {
    let mut bytes = std::fs::read(spool).expect("a spool");
    bytes[1000] ^= 1;
    std::fs::write(spool, bytes).expect("a spool");
}

fn append_bytes(spool: &Path) {
    let mut bytes = std::fs::read(spool).expect("a spool");
    bytes.extend_from_slice(&[0; 1000]);
    std::fs::write(spool, bytes).expect("a spool");
}

async fn a_spool_longer_than_the_blob_is_dropped() {
    for scene in [Scene::unknown(MIB).await, Scene::named(MIB).await] {
        let mut scene = stopped_in_mid_fill(scene).await;
        std::fs::write(scene.spool(), vec![0; 2 * MIB]).expect("a spool");
        scene.server.start_again().await;
        let answer = get(&scene.url()).await;
        assert!(
            answer.status == 502 || !answer.complete,
            "{}",
            answer.status
        );
        scene.assert_whole(&scene.client().await.expect("a client ends"));
    }
}

async fn a_spool_that_is_whole_already_costs_no_byte() {
    for scene in [Scene::unknown(MIB).await, Scene::named(MIB).await] {
        let mut scene = stopped_in_mid_fill(scene).await;
        std::fs::write(scene.spool(), &scene.bytes).expect("a spool");
        scene.server.start_again().await;
        scene.assert_whole(&scene.client().await.expect("a client ends"));
        assert_eq!(scene.remote.bytes_sent(On::blob().served()), 0);
        scene.assert_stored().await;
    }
}

async fn spools_that_are_too_old_are_swept_at_the_start() {
    let remote = FakeRegistry::start().await;
    let digest = remote.put_blob("app", random_bytes(7, MIB));
    let setup = Setup::empty().section("spool_max_age = \"0s\"");
    let mut server = setup.mirror("r", &remote, "").start().await;
    server.stop().await;
    let spool = server
        .folder
        .path()
        .join("data/spool")
        .join(digest.replacen(':', "-", 1));
    std::fs::write(&spool, b"what an earlier process left").expect("a spool");
    server.start_again().await;
    let swept = async {
        while spool.exists() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(10), swept).await;
    in_time.expect("the spool is swept");
    let drained = drain_sha256(&server.blob_url("r/app", &digest)).await;
    assert!(drained.complete && drained.digest == digest);
    assert_eq!(remote.count(On::blob().get().ranged()), 0);
}

async fn what_was_pulled_before_a_restart_is_a_hit_after_it() {
    let mut scene = Scene::named(64 * KIB).await;
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    scene.assert_stored().await;
    scene.server.stop().await;
    scene.remote.stop().await;
    scene.server.start_again().await;
    let blob = get(&scene.url()).await;
    assert_eq!((blob.status, blob.header("x-cache")), (200, "hit"));
    let manifest = get(&scene.server.manifest_url("r/team/app", "latest")).await;
    assert_eq!(manifest.status, 200);
}

/// The real program, on a folder that outlives it.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(folder: &TempDir, setup: &Setup) -> Self {
        let file = folder.path().join("entrepot.toml");
        std::fs::write(&file, setup.text()).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_entrepot"))
            .args(["serve", "--config"])
            .arg(&file)
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it says where it listens");
        let (_, url) = line
            .trim()
            .split_once(" listens on ")
            .expect("it says where it listens");
        Self {
            child,
            url: url.to_owned(),
        }
    }

    fn blob_url(&self, digest: &str) -> String {
        format!("{}/v2/r/app/blobs/{digest}", self.url)
    }
}

impl Drop for Process {
    /// As by `kill -9`.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_killed_in_mid_fill_is_gone_on_from() {
    let remote = FakeRegistry::start().await;
    let bytes = random_bytes(7, MIB);
    let digest = remote.put_blob("app", bytes.clone());
    let setup = Setup::empty().mirror("r", &remote, "");
    let folder = TempDir::new().expect("a folder");
    let hold = remote.hold_after(On::blob().get(), HALF);

    let killed = Process::start(&folder, &setup);
    let mut reader = SlowReader::open(&killed.blob_url(&digest), &[]).await;
    assert!(reader.read(256 * KIB).await == bytes[..256 * KIB]);
    let spool = folder
        .path()
        .join("data/spool")
        .join(digest.replacen(':', "-", 1));
    until_spooled(&spool, HALF).await;
    drop(killed);
    reader.read_to_end().await;
    assert!(!reader.is_complete());
    hold.release();

    let next = Process::start(&folder, &setup);
    remote.fault(On::blob().unranged(), Fault::status(404));
    let drained = drain_sha256(&next.blob_url(&digest)).await;
    assert!(drained.complete && drained.digest == digest);
    let resumed = remote.requests_on(&On::blob().get().ranged());
    assert_eq!(resumed[0].request.header("range"), "bytes=524288-");
}
