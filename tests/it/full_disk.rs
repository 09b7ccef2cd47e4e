//! A full disk lets nobody down: what cannot be kept is passed on, and what was begun is finished for each client.

use bytes::Bytes;

use crate::{
    fill::{KIB, MIB, until_hit},
    harness::{
        FakeRegistry, Fault, Image, ImageBuilder, On, SlowReader, drain_sha256, get, get_range,
        random_bytes,
    },
    server::{Setup, TestServer},
    small_disk::{SmallDisk, blob_file, until},
};

/// A mirror whose data is on a small disk.
struct Scene {
    remote: FakeRegistry,
    disk: SmallDisk,
    server: TestServer,
}

impl Scene {
    async fn new(mebibytes: u64, storage: &str) -> Self {
        let remote = FakeRegistry::start().await;
        let disk = SmallDisk::new(mebibytes);
        let setup = Setup::empty().section(storage).mirror("r", &remote, "");
        let server = disk.hold(setup).start().await;
        Self {
            remote,
            disk,
            server,
        }
    }

    fn blob(&self, digest: &str) -> String {
        self.server.blob_url("r/app", digest)
    }

    fn manifest(&self, tag: &str) -> String {
        self.server.manifest_url("r/app", tag)
    }

    fn is_stored(&self, digest: &str) -> bool {
        blob_file(&self.disk.data(), digest).exists()
    }

    /// Pulls everything; tells how the blobs came.
    async fn pull(&self, tag: &str, image: &Image) -> Vec<String> {
        let manifest = get(&self.manifest(tag)).await;
        assert_eq!((manifest.status, manifest.complete), (200, true));
        assert!(manifest.body == image.root_manifest().bytes);
        let mut outcomes = vec![manifest.header("x-cache").to_owned()];
        for digest in image.layers().into_iter().chain([image.config()]) {
            let answer = get(&self.blob(&digest)).await;
            assert_eq!((answer.status, answer.complete), (200, true), "{digest}");
            assert!(answer.body == image.blob(&digest));
            outcomes.push(answer.header("x-cache").to_owned());
        }
        outcomes
    }
}

const NO_FLOOR: &str = "free_floor = \"0\"";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_passed_on_while_the_disk_is_full_and_kept_when_there_is_room() {
    let scene = Scene::new(16, NO_FLOOR).await;
    let image = ImageBuilder::new(1).layer(2 * MIB).layer(300 * KIB).build();
    scene.remote.put_image("app", "v1", &image);
    scene.disk.fill_up(0);
    for _ in 0..2 {
        assert_eq!(scene.pull("v1", &image).await, ["bypass"; 4]);
    }
    let layer = image.layers().remove(0);
    let bytes = image.blob(&layer);
    for range in [10..20, MIB..2 * MIB, 2 * MIB - 5..2 * MIB, 0..2 * MIB] {
        let part = get_range(
            &scene.blob(&layer),
            &format!("{}-{}", range.start, range.end - 1),
        )
        .await;
        assert_eq!((part.status, part.complete), (206, true), "{range:?}");
        assert!(part.body == bytes[range]);
    }
    scene.disk.make_room();
    scene.pull("v1", &image).await;
    let answer = until_hit(&scene.blob(&layer)).await;
    assert!(answer.body == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_below_the_floor() {
    let scene = Scene::new(64, "free_floor = \"1GiB\"").await;
    let image = ImageBuilder::new(1).layer(MIB).build();
    scene.remote.put_image("app", "v1", &image);
    assert_eq!(scene.pull("v1", &image).await, ["bypass"; 3]);
    for digest in image.layers() {
        assert!(!scene.is_stored(&digest));
    }
    let spool = std::fs::read_dir(scene.disk.data().join("spool")).expect("a folder");
    assert_eq!(spool.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_the_budget_is_passed_on() {
    let scene = Scene::new(64, "free_floor = \"0\"\nmax_bytes = \"1MiB\"").await;
    let image = ImageBuilder::new(1).layer(2 * MIB).layer(100 * KIB).build();
    scene.remote.put_image("app", "v1", &image);
    let outcomes = scene.pull("v1", &image).await;
    assert_eq!(outcomes, ["miss", "bypass", "miss", "miss"]);
    assert_eq!(scene.pull("v1", &image).await[1], "bypass");
    assert!(!scene.is_stored(&image.layers()[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_content_is_not_passed_on_as_complete() {
    let scene = Scene::new(8, NO_FLOOR).await;
    let digest = scene.remote.put_blob("app", random_bytes(7, MIB));
    scene.disk.fill_up(0);
    for flipped in [0, MIB as u64 - 1] {
        scene
            .remote
            .fault_always(On::blob().get(), Fault::FlipByteAt(flipped));
        for range in [None, Some("1000-")] {
            let answer = match range {
                None => get(&scene.blob(&digest)).await,
                Some(range) => get_range(&scene.blob(&digest), range).await,
            };
            assert!(
                !answer.complete && answer.body.len() < MIB,
                "{flipped} {range:?}"
            );
        }
        scene.remote.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_not_passed_on_as_a_blob() {
    let scene = Scene::new(8, NO_FLOOR).await;
    let digest = scene.remote.put_blob("app", random_bytes(7, 1000));
    let empty = scene.remote.put_blob("app", "");
    scene.disk.fill_up(0);
    let answer = get(&scene.blob(&empty)).await;
    assert_eq!((answer.status, answer.complete), (200, true));
    scene
        .remote
        .fault_always(On::blob().get(), Fault::EmptyBody);
    let answer = get(&scene.blob(&digest)).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (502, "UNAVAILABLE")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_passed_on_goes_on_over_breaks() {
    let scene = Scene::new(8, NO_FLOOR).await;
    let digest = scene.remote.put_blob("app", random_bytes(7, MIB));
    scene.disk.fill_up(0);
    scene
        .remote
        .fault_times(On::blob().get(), 4, Fault::CutAfter(100 * KIB as u64));
    let drained = drain_sha256(&scene.blob(&digest)).await;
    assert!(drained.complete && drained.digest == digest);
    assert!(scene.remote.count(On::blob().get().ranged()) >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_not_there_is_not_found_on_a_full_disk_either() {
    let scene = Scene::new(8, NO_FLOOR).await;
    scene.disk.fill_up(0);
    let absent = crate::harness::sha256(b"absent");
    let answer = get(&scene.blob(&absent)).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (404, "BLOB_UNKNOWN")
    );
}

/// A fill of which some has come when the disk becomes full, and clients that are at different places.
struct MidFill {
    scene: Scene,
    bytes: Bytes,
    digest: String,
    readers: Vec<(SlowReader, usize)>,
}

/// More than a fill may have in memory after the hold.
const SIZE: usize = 24 * MIB;
const HELD_AT: u64 = 8 * MIB as u64;
const MOST_READ: usize = 2 * MIB;

impl MidFill {
    async fn new(prepare: impl FnOnce(&FakeRegistry)) -> Self {
        let scene = Scene::new(48, NO_FLOOR).await;
        let bytes = random_bytes(7, SIZE);
        let digest = scene.remote.put_blob("app", bytes.clone());
        prepare(&scene.remote);
        let hold = scene
            .remote
            .hold_after(On::blob().get().unranged(), HELD_AT);
        let url = scene.blob(&digest);
        let mut readers = Vec::new();
        for read in [0, 100 * KIB, MOST_READ] {
            let mut reader = SlowReader::open(&url, &[]).await;
            assert!(reader.read(read).await == bytes[..read]);
            readers.push((reader, read));
        }
        hold.reached(1).await;
        scene.disk.fill_up(0);
        hold.release();
        Self {
            scene,
            bytes,
            digest,
            readers,
        }
    }

    /// Each client gets the rest, and nothing is kept.
    async fn finish(mut self) -> Scene {
        for (reader, read) in &mut self.readers {
            assert!(
                reader.read_to_end().await == self.bytes[*read..],
                "from {read}"
            );
            assert!(reader.is_complete());
        }
        assert!(!self.scene.is_stored(&self.digest));
        self.scene
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_space_ends_in_mid_fill_each_client_goes_on_by_itself() {
    let mid_fill = MidFill::new(|_| ()).await;
    let (digest, bytes) = (mid_fill.digest.clone(), mid_fill.bytes.clone());
    let scene = mid_fill.finish().await;
    let ranges = scene.remote.requests_on(&On::blob().get().ranged());
    assert_eq!(ranges.len(), 3);
    for range in ranges {
        // Not from the beginning: what the fill had is not asked for again.
        let range = range.request.header("range").to_owned();
        let from: usize = range["bytes=".len()..range.len() - 1]
            .parse()
            .expect("an offset");
        assert!(from >= MOST_READ, "{range}");
    }
    until("the spool is gone", || {
        std::fs::read_dir(scene.disk.data().join("spool")).is_ok_and(|spool| spool.count() == 0)
    })
    .await;
    scene.disk.make_room();
    assert!(get(&scene.blob(&digest)).await.body == bytes);
    assert!(until_hit(&scene.blob(&digest)).await.body == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn space_that_ends_in_mid_fill_of_a_blob_without_a_length_is_no_different() {
    let scene = Scene::new(48, NO_FLOOR).await;
    let digest = scene.remote.put_blob("app", random_bytes(7, SIZE));
    scene
        .remote
        .fault_always(On::blob().get().unranged(), Fault::NoLength);
    let hold = scene
        .remote
        .hold_after(On::blob().get().unranged(), HELD_AT);
    let clients = [0, 1].map(|_| {
        let url = scene.blob(&digest);
        tokio::spawn(async move { drain_sha256(&url).await })
    });
    hold.reached(1).await;
    scene.disk.fill_up(0);
    hold.release();
    for client in clients {
        let drained = client.await.expect("a client ends");
        assert!(drained.complete && drained.digest == digest, "{drained:?}");
    }
    assert!(!scene.is_stored(&digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_without_ranges_gives_the_rest_from_the_beginning() {
    MidFill::new(|remote| remote.configure(|options| options.ranges = false))
        .await
        .finish()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_refuses_ranges_gives_the_rest_from_the_beginning() {
    for status in [403, 416] {
        let refuse = |remote: &FakeRegistry| {
            remote.fault_always(On::blob().get().ranged(), Fault::status(status));
        };
        MidFill::new(refuse).await.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_end_after_the_handover_is_cut() {
    let mut mid_fill = MidFill::new(|remote| {
        remote.fault_always(On::blob().get().ranged(), Fault::FlipByteAt(1000));
    })
    .await;
    for (reader, _) in &mut mid_fill.readers {
        reader.read_to_end().await;
        assert!(!reader.is_complete());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_without_a_length_that_does_not_fit_comes_whole() {
    let scene = Scene::new(24, NO_FLOOR).await;
    let digest = scene.remote.put_blob("app", random_bytes(7, 40 * MIB));
    scene
        .remote
        .fault_always(On::blob().get().unranged(), Fault::NoLength);
    let (url, other) = (scene.blob(&digest), scene.blob(&digest));
    let (one, two) = tokio::join!(drain_sha256(&url), drain_sha256(&other));
    for drained in [one, two] {
        assert!(drained.complete && drained.digest == digest, "{drained:?}");
    }
    assert!(!scene.is_stored(&digest));
}

/// Three images of 6 MiB that are in the store, and one that is not.
async fn three_images(mebibytes: u64) -> (Scene, Vec<Image>) {
    let scene = Scene::new(mebibytes, NO_FLOOR).await;
    let images: Vec<_> = (0..4)
        .map(|seed| ImageBuilder::new(seed).layer(6 * MIB).build())
        .collect();
    for (image, tag) in images.iter().zip(["v0", "v1", "v2", "v3"]) {
        scene.remote.put_image("app", tag, image);
    }
    for (image, tag) in images.iter().zip(["v0", "v1", "v2"]) {
        scene.pull(tag, image).await;
        until_hit(&scene.blob(&image.layers()[0])).await;
    }
    (scene, images)
}

async fn assert_the_oldest_makes_room(scene: &Scene, images: &[Image]) {
    assert_eq!(scene.pull("v3", &images[3]).await[1], "bypass");
    let oldest = images[0].layers().remove(0);
    until("the oldest image is evicted", || !scene.is_stored(&oldest)).await;
    scene.pull("v3", &images[3]).await;
    until_hit(&scene.blob(&images[3].layers()[0])).await;
    assert!(scene.is_stored(&images[2].layers()[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_found_no_room_wakes_eviction_and_is_kept_the_next_time() {
    let (scene, images) = three_images(26).await;
    assert_the_oldest_makes_room(&scene, &images).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eviction_works_when_there_is_no_byte_left_to_write_rows() {
    let (scene, images) = three_images(40).await;
    scene.disk.fill_up(0);
    assert_the_oldest_makes_room(&scene, &images).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_leaves_the_room_of_a_reserve_that_was_spent() {
    let mut scene = Scene::new(24, NO_FLOOR).await;
    let reserve = scene.disk.data().join("reserve");
    until("there is a reserve", || {
        std::fs::metadata(&reserve).is_ok_and(|file| file.len() == 2 * MIB as u64)
    })
    .await;
    // As if the process had been killed while it wrote the reserve anew.
    scene.server.stop().await;
    std::fs::write(&reserve, b"").expect("a file");
    scene.disk.fill_up(7 * MIB);
    scene.server.start_again().await;
    until("there is a reserve again", || {
        std::fs::metadata(&reserve).is_ok_and(|file| file.len() == 2 * MIB as u64)
    })
    .await;
    scene.disk.make_room();
    std::fs::remove_file(&reserve).expect("a file");
    scene.disk.fill_up(3 * MIB);
    let digest = scene.remote.put_blob("app", random_bytes(7, 2 * MIB));
    let answer = get(&scene.blob(&digest)).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "bypass"));
}
