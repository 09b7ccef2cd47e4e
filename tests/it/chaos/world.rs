//! A remote with images, and the real program as its mirror, with its data on a small disk.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tempfile::TempDir;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::timeout,
};

use super::{PATIENCE, tally::Tally};
use crate::{
    fill::KIB,
    harness::{Client, FakeRegistry, Image, ImageBuilder},
    process::{Process, command},
    server::Setup,
    small_disk::SmallDisk,
};

const IMAGES: usize = 120;
/// How much of the log is shown when something is wrong.
const LOG_LINES: usize = 1000;
/// Timeouts that fit the faults.
const REMOTE: &str = "answer_timeout = \"1s\"\nheader_timeout = \"500ms\"\nidle_timeout = \"300ms\"\nretry_for = \"3s\"";
/// What no fill goes on with for so long is left over.
pub(super) const SPOOL_MAX_AGE_MS: u64 = 1000;

/// How much the mirror may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Everything.
    Plenty,
    /// A disk of so many MiB, which somebody else fills from time to time, and perhaps a budget.
    Tight { disk: u64, max_bytes: Option<u64> },
}

/// What a world is like.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be with any of the others"
)]
pub(super) struct Plan {
    pub(super) room: Room,
    /// The remote sends wrong bytes, too.
    pub(super) lies: bool,
    /// The remote has two URLs.
    two_urls: bool,
    /// The remote wants tokens.
    bearer: bool,
    /// The remote redirects blobs to another host.
    cdn: bool,
}

pub(super) struct World {
    pub(super) plan: Plan,
    /// All of them misbehave.
    pub(super) remotes: Vec<FakeRegistry>,
    pub(super) disk: SmallDisk,
    /// The tag of each is its place.
    pub(super) images: Vec<Image>,
    process: AsyncMutex<Option<Process>>,
    /// With the configuration, while no process runs.
    folder: Mutex<Option<TempDir>>,
    /// Of the running process.
    url: watch::Sender<Option<String>>,
    tally: Mutex<Tally>,
    in_trouble: AtomicBool,
}

impl Room {
    pub(super) fn tight(random: &mut StdRng) -> Self {
        let mib = 1024 * KIB as u64;
        Self::Tight {
            disk: random.random_range(24..40),
            max_bytes: random
                .random_bool(0.7)
                .then(|| random.random_range(4 * mib..12 * mib)),
        }
    }
}

impl World {
    pub(super) async fn new(room: Room, random: &mut StdRng) -> Self {
        let plan = Plan {
            room,
            lies: random.random_bool(0.6),
            two_urls: random.random_bool(0.3),
            bearer: random.random_bool(0.3),
            cdn: random.random_bool(0.3),
        };
        let remotes = remotes(plan).await;
        let images: Vec<Image> = (0..IMAGES).map(|_| image(random)).collect();
        for (place, image) in images.iter().enumerate() {
            remotes[0].put_image(repository(place), &place.to_string(), image);
        }
        let never = ImageBuilder::new(1).layer(KIB).build();
        remotes[0].put_image(repository(0), "never", &never);
        let disk = SmallDisk::new(match room {
            Room::Plenty => 512,
            Room::Tight { disk, .. } => disk,
        });
        let folder = TempDir::new().expect("a folder");
        let text = configuration(plan, &remotes).text();
        std::fs::write(folder.path().join("entrepot.toml"), text).expect("a file");
        let world = Self {
            plan,
            remotes,
            disk,
            images,
            process: AsyncMutex::default(),
            folder: Mutex::new(Some(folder)),
            url: watch::Sender::new(None),
            tally: Mutex::default(),
            in_trouble: AtomicBool::new(false),
        };
        world.start().await;
        world
    }

    // --- the process ---

    pub(super) async fn start(&self) {
        let mut process = self.process.lock().await;
        let folder = self.folder().take().expect("no process runs");
        let mut command = command(folder.path(), &["serve", "--config", "entrepot.toml"]);
        command.env("ENTREPOT__STORAGE__PATH", self.disk.data());
        let started = Process::start(folder, command).await;
        self.url.send_replace(Some(started.url.clone()));
        *process = Some(started);
    }

    /// As by `kill -9`.
    pub(super) async fn kill(&self) {
        let process = self.take_process().await;
        // Whatever clients get from now on is uncertain.
        self.tally().killed();
        let folder = process.kill().await;
        self.put_away(folder);
    }

    /// As by SIGTERM: it drains, and ends well.
    pub(super) async fn stop(&self) {
        let mut process = self.take_process().await;
        self.tally().killed();
        process.terminate();
        let ended = process.ended().await;
        assert!(ended.success(), "{ended}\n{}", process.stderr());
        let folder = process.kill().await;
        self.put_away(folder);
    }

    async fn take_process(&self) -> Process {
        self.url.send_replace(None);
        let mut process = self.process.lock().await;
        let process = process.take().expect("it runs");
        assert!(
            !process.stderr().contains("panicked at"),
            "{}",
            process.stderr()
        );
        process
    }

    pub(super) fn is_down(&self) -> bool {
        self.folder().is_some()
    }

    fn put_away(&self, folder: TempDir) {
        *self.folder() = Some(folder);
    }

    fn folder(&self) -> MutexGuard<'_, Option<TempDir>> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of the process, once there is one.
    async fn url(&self) -> String {
        let mut url = self.url.subscribe();
        let known = timeout(PATIENCE, url.wait_for(Option::is_some)).await;
        let known = known.expect("there soon is a process");
        known
            .expect("the sender is here")
            .clone()
            .expect("just waited for")
    }

    pub(super) async fn manifest(&self, place: usize, reference: &str) -> String {
        let repository = repository(place);
        format!(
            "{}/v2/r/{repository}/manifests/{reference}",
            self.url().await
        )
    }

    pub(super) async fn blob(&self, place: usize, digest: &str) -> String {
        let repository = repository(place);
        format!("{}/v2/r/{repository}/blobs/{digest}", self.url().await)
    }

    /// Waits until no fill runs: what was filled is in place, with its rows.
    pub(super) async fn settled(&self) {
        let url = format!("{}/metrics", self.url().await);
        let settled = async {
            loop {
                let metrics = Client::new().get(&url).await;
                let metrics = String::from_utf8(metrics.body.to_vec()).expect("metrics are text");
                if metrics
                    .lines()
                    .any(|line| line == "entrepot_fills_running 0")
                {
                    return;
                }
            }
        };
        timeout(PATIENCE, settled).await.expect("fills end");
        self.tally().settled();
    }

    // --- what is so now ---

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_in_trouble(&self) -> bool {
        self.in_trouble.load(Ordering::SeqCst)
    }

    pub(super) fn set_in_trouble(&self, so: bool) {
        self.in_trouble.store(so, Ordering::SeqCst);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        eprintln!("{:?} {:?}", self.plan, self.tally());
        for remote in &self.remotes {
            for request in remote.requests().iter().rev().take(60).rev() {
                eprintln!("REMOTE {request:?}");
            }
        }
        if let Some(process) = self.process.get_mut() {
            let said = process.stderr();
            let lines: Vec<&str> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
            eprintln!("the last lines of the log:\n{}", last.join("\n"));
        }
    }
}

/// The second URL has the content of the first.
async fn remotes(plan: Plan) -> Vec<FakeRegistry> {
    let cdn = FakeRegistry::start().await;
    let builder = || {
        let mut builder = FakeRegistry::builder();
        if plan.bearer {
            builder = builder.bearer();
        }
        if plan.cdn {
            builder = builder.redirect_blobs_to(&cdn);
        }
        builder
    };
    let first = if plan.cdn {
        builder().content_of(&cdn).start().await
    } else {
        builder().start().await
    };
    let mut remotes = Vec::new();
    if plan.two_urls {
        remotes.push(builder().content_of(&first).start().await);
    }
    remotes.insert(0, first);
    if plan.cdn {
        remotes.push(cdn);
    }
    remotes
}

fn configuration(plan: Plan, remotes: &[FakeRegistry]) -> Setup {
    let room = match plan.room {
        Room::Plenty => "free_floor = 0".to_owned(),
        Room::Tight {
            max_bytes: Some(bytes),
            ..
        } => format!("free_floor = 0\nmax_bytes = {bytes}"),
        // Without a budget something must be left for rows.
        Room::Tight {
            max_bytes: None, ..
        } => "free_floor = \"6MiB\"".to_owned(),
    };
    let storage = format!(
        "{room}\nspool_max_age = \"{SPOOL_MAX_AGE_MS}ms\"\n[upkeep]\norphan_grace = \"1s\""
    );
    let urls = if plan.two_urls {
        format!("{}\", \"{}", remotes[0].url(), remotes[1].url())
    } else {
        remotes[0].url().to_owned()
    };
    Setup::empty()
        .section(&storage)
        .remote("r", &urls, REMOTE)
        .project("r", "r", "visibility = \"public\"")
        .freshness("tags = \"**\"\nttl = \"1s\"")
}

/// Two repositories that share layers.
pub(super) fn repository(place: usize) -> &'static str {
    ["team/app", "team/web"][place % 2]
}

/// One to three layers, some shared with other images.
fn image(random: &mut StdRng) -> Image {
    let mut random = StdRng::from_rng(random);
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
