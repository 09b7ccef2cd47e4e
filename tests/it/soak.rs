//! The soak: random clients pull random images from a remote that is in random trouble, then in an outage.
//!
//! Short by itself; `ENTREPOT_SOAK_SECONDS` makes it long (`make soak`) and `ENTREPOT_SOAK_SEED` repeats its choices,
//! though not the order in which tasks run.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    fill::KIB,
    harness::{Client, FakeRegistry, Fault, Image, ImageBuilder, On, SlowReader, sha256},
    server::{Setup, TestServer},
};

const CLIENTS: usize = 6;
const IMAGES_PER_TURN: usize = 20;
const TURN: Duration = Duration::from_secs(2);
/// After so many turns everything begins anew, since what was pulled is never evicted here.
const TURNS_PER_WORLD: usize = 10;
/// No answer takes longer, whatever the remote does.
const PATIENCE: Duration = Duration::from_secs(30);
const REPOSITORY: &str = "r/team/app";
/// Timeouts that fit the faults below.
const REMOTE: &str = "answer_timeout = \"1s\"\nheader_timeout = \"500ms\"\nidle_timeout = \"300ms\"\nretry_for = \"3s\"";

struct World {
    remote: FakeRegistry,
    server: TestServer,
    /// The tag of each is its place.
    images: Vec<Image>,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    /// Tags of which everything came.
    pulled: BTreeSet<usize>,
    /// Pulls while there was trouble.
    whole: usize,
    broken: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_remote_does_clients_get_right_bytes_or_none_and_outages_lose_nothing() {
    let length = Duration::from_secs(setting("ENTREPOT_SOAK_SECONDS").unwrap_or(6));
    let seed = setting("ENTREPOT_SOAK_SEED").unwrap_or_else(rand::random);
    // Shown when the test fails, or with --nocapture.
    eprintln!("ENTREPOT_SOAK_SEED={seed}");
    let began = Instant::now();
    let (mut turns, mut whole, mut broken) = (0, 0, 0);
    while began.elapsed() < length {
        let mut world = World::new().await;
        for _ in 0..TURNS_PER_WORLD {
            world = world.turn(seed.wrapping_add(turns)).await;
            turns += 1;
            if began.elapsed() >= length {
                break;
            }
        }
        whole += world.tally().whole;
        broken += world.tally().broken;
    }
    eprintln!("{turns} turns; pulls in trouble: {whole} whole, {broken} broken off or refused");
    assert!(whole > 0, "nothing came through in {turns} turns");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the test, not of the server"
)]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

// === impl World ===

impl World {
    async fn new() -> Self {
        let remote = FakeRegistry::start().await;
        remote.put_image(
            "team/app",
            "never",
            &ImageBuilder::new(1).layer(KIB).build(),
        );
        let setup = Setup::empty().remote("r", remote.url(), REMOTE).project(
            "r",
            "r",
            "visibility = \"public\"",
        );
        let server = setup.freshness("tags = \"**\"\nttl = \"1s\"").start().await;
        Self {
            remote,
            server,
            images: Vec::new(),
            tally: Mutex::default(),
        }
    }

    /// Trouble, then an outage, then peace.
    async fn turn(mut self, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..IMAGES_PER_TURN {
            let tag = self.images.len().to_string();
            let image = image(&mut random);
            self.remote.put_image("team/app", &tag, &image);
            self.images.push(image);
        }
        let world = Arc::new(self);
        world.trouble(&mut random).await;
        world.remote.clear_faults();
        world.server.settled().await;
        world.remote.stop().await;

        let mut this = Arc::into_inner(world).expect("all clients have ended");
        if random.random_bool(0.5) {
            this.server.stop().await;
            this.server.start_again().await;
        }
        let pulled = this.tally().pulled.clone();
        join_all(pulled.iter().map(|tag| this.pull_in_an_outage(*tag))).await;
        let never = this.server.manifest_url(REPOSITORY, "never");
        assert_eq!(Self::get(&never).await, None, "never pulled");

        this.remote.start_again().await;
        join_all((0..this.images.len()).map(|tag| this.pull_in_the_end(tag))).await;
        this
    }

    /// Clients at work while the remote misbehaves.
    async fn trouble(self: &Arc<Self>, random: &mut StdRng) {
        let mut clients = JoinSet::new();
        let end = Instant::now() + TURN;
        for _ in 0..CLIENTS {
            let (world, mut random) = (Arc::clone(self), StdRng::from_rng(random));
            clients.spawn(async move {
                while Instant::now() < end {
                    world.visit(&mut random).await;
                }
            });
        }
        while Instant::now() < end {
            if self.remote.faults_left() < 4 {
                let (on, fault) = trouble(random);
                self.remote.fault(on, fault);
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(5..50))).await;
        }
        while let Some(ended) = clients.join_next().await {
            ended.expect("no client saw anything wrong");
        }
    }

    /// One thing that a client does, with a new image more often than with an old one.
    async fn visit(&self, random: &mut StdRng) {
        let oldest = self.images.len().saturating_sub(IMAGES_PER_TURN);
        let oldest = if random.random_bool(0.2) { 0 } else { oldest };
        let tag = random.random_range(oldest..self.images.len());
        let image = &self.images[tag];
        let digests: Vec<&String> = image.blobs.keys().collect();
        let digest = digests[random.random_range(0..digests.len())];
        let url = self.server.blob_url(REPOSITORY, digest);
        match random.random_range(0..10) {
            0..=5 => {
                if self.pull(tag).await {
                    self.tally().whole += 1;
                } else {
                    self.tally().broken += 1;
                }
            }
            6..=7 => ranged(&url, &image.blob(digest), random).await,
            // Leaves in the middle.
            _ => {
                let bytes = random.random_range(0..300 * KIB);
                let open = async { SlowReader::open(&url, &[]).await.read(bytes).await };
                timeout(PATIENCE, open).await.expect("an answer in time");
            }
        }
    }

    /// The whole image; false if any of it did not come.
    async fn pull(&self, tag: usize) -> bool {
        let image = &self.images[tag];
        let root = self.server.manifest_url(REPOSITORY, &tag.to_string());
        let Some(digest) = Self::get(&root).await else {
            return false;
        };
        assert_eq!(digest, image.root, "{root}");
        let manifests = image.manifests.iter().map(|manifest| {
            let url = self.server.manifest_url(REPOSITORY, &manifest.digest);
            (url, &manifest.digest)
        });
        let blobs = image.blobs.keys();
        let blobs = blobs.map(|digest| (self.server.blob_url(REPOSITORY, digest), digest));
        for (url, expected) in manifests.chain(blobs) {
            match Self::get(&url).await {
                Some(digest) => assert_eq!(&digest, expected, "{url}"),
                None => return false,
            }
        }
        self.tally().pulled.insert(tag);
        true
    }

    async fn pull_in_an_outage(&self, tag: usize) {
        let came = self.pull(tag).await;
        assert!(came, "image {tag} was pulled and is lost in an outage");
    }

    /// The trouble is over: nothing of it lasts.
    async fn pull_in_the_end(&self, tag: usize) {
        let end = Instant::now() + PATIENCE;
        while !self.pull(tag).await {
            assert!(Instant::now() < end, "image {tag} never came");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The digest of a whole body. None is an answer that says so: the remote's trouble, or a body cut short.
    async fn get(url: &str) -> Option<String> {
        let answer = timeout(PATIENCE, Client::new().get(url)).await;
        let answer = answer.unwrap_or_else(|_| panic!("no end of {url}"));
        let expected = matches!(answer.status, 200 | 502..=504);
        assert!(expected, "{url}: {} {:?}", answer.status, answer.body);
        (answer.status == 200 && answer.complete).then(|| sha256(&answer.body))
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rest of a blob from some byte on: its bytes, or all of them, or an error, or cut short. (A part that ends before
/// the last byte may be complete before the digest is known.)
async fn ranged(url: &str, bytes: &Bytes, random: &mut StdRng) {
    let start = random.random_range(0..bytes.len());
    let range = format!("{start}-");
    let answer = timeout(PATIENCE, Client::new().get_range(url, &range)).await;
    let answer = answer.unwrap_or_else(|_| panic!("no end of {url}, {range}"));
    let right = match answer.status {
        206 => &bytes[start..],
        // Allowed, and the way out where the remote gives no length.
        200 => bytes,
        502..=504 => return,
        other => panic!("{url}, {range}: {other}"),
    };
    assert!(!answer.complete || answer.body == right, "{url}, {range}");
}

/// One to three layers, some shared with other images.
fn image(random: &mut StdRng) -> Image {
    let mut image = ImageBuilder::new(random.random());
    if random.random_bool(0.5) {
        image = image.shared_layer(random.random_range(0..4), 300 * KIB);
    }
    for _ in 0..random.random_range(1..3) {
        image = image.layer(random.random_range(1..600 * KIB));
    }
    match random.random_range(0..4) {
        0 => image.platforms(&["linux/amd64", "linux/arm64"]).build(),
        1 => image.docker().build(),
        _ => image.build(),
    }
}

/// What goes wrong next, and where. Never a 404: that would be the truth about an image.
fn trouble(random: &mut StdRng) -> (On, Fault) {
    let on = match random.random_range(0..4) {
        0 => On::manifest().get(),
        1 => On::any(),
        _ => On::blob().get(),
    };
    let offset = random.random_range(0..400 * KIB as u64);
    let fault = match random.random_range(0..16) {
        0 => Fault::status(500),
        1 => Fault::status(503),
        2 => Fault::too_many("1"),
        3 => Fault::CutAfter(offset),
        4 => Fault::ResetAfter(offset),
        5 => Fault::StallAfter(offset, Duration::from_millis(150)),
        6 => Fault::HangAfter(offset),
        7 => Fault::FlipByteAt(offset),
        8 => Fault::IgnoreRange,
        9 => Fault::NoLength,
        10 => Fault::ShortRange(10 * KIB),
        11 => Fault::HtmlPage,
        12 => Fault::GarbageHttp,
        13 => Fault::DropBeforeAnswer,
        14 => Fault::HangBeforeHeaders,
        _ => Fault::Delay(Duration::from_millis(200)),
    };
    (on, fault)
}
