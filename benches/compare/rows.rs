//! A store with a million rows: how soon Entrepot starts on it, and what eviction does to those who
//! pull meanwhile.
//!
//! The rows are written by SQL into a database that the server itself has made, as whole images.
//! Only the images that are to go have files: the others are never asked for.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::content::Content;
use crate::pull::{pull, verify};
use crate::remote::Remote;
use crate::samples::{Samples, shuffled};
use crate::server::{Mirror, start_entrepot};
use crate::steady::{p99_ms, pause};
use crate::store_rows::{Made, StoreRows};
use crate::warm_tag::Image;
use crate::{Bench, progress};

pub(crate) const EMPTY: &str = "empty";
pub(crate) const FULL: &str = "full";
pub(crate) const QUIET: &str = "quiet";
pub(crate) const EVICTING: &str = "evicting";

/// What the blob that wakes eviction takes, and how much of it is more than the budget allows.
const LAST_STRAW_BYTES: usize = 64 * 1024;
const ROOM_BYTES: u64 = 32 * 1024;
/// The first sum over all rows is made behind the start.
const SETTLE: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_millis(500);
const EVICTION_TIMEOUT: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(crate) struct Rows {
    /// Of blobs.
    pub(crate) count: u64,
    /// How many went.
    pub(crate) evicted: u64,
    /// Of an empty store and of the full one.
    pub(crate) start_seconds: Samples,
    /// Of a cached manifest at a fixed rate of requests: quiet, and while images are evicted.
    pub(crate) p99_ms: Samples,
    pub(crate) eviction_seconds: Option<f64>,
}

pub(crate) fn measure(bench: &Bench) -> Result<Rows> {
    let mut rows = Rows::default();
    if !bench.mirrors.contains(&Mirror::Entrepot) {
        return Ok(rows);
    }
    let remote = Remote::start(bench)?;
    let image = Image::push(&remote.pusher())?;
    let straw = remote.push_blobs(1, LAST_STRAW_BYTES)?.remove(0);

    progress(&format!("{} rows: making them", bench.plan.rows));
    let server = Mirror::Entrepot.start(bench, remote.address())?;
    image.pull(server.address)?;
    let full = server.stop();
    let store = StoreRows {
        folder: full.path().join("data"),
        project: "origin",
        rows: bench.plan.rows,
        evicted: bench.plan.rows_evicted,
    };
    let made = store.make()?;
    rows.count = made.rows;

    progress(&format!("{} rows: starting", bench.plan.rows));
    let full = rows.start(bench, full, &remote)?;

    progress(&format!("{} rows: evicting", bench.plan.rows));
    let budget = made.bytes + ROOM_BYTES;
    let settings = |_| {
        vec![(
            "ENTREPOT__STORAGE__MAX_BYTES".to_owned(),
            budget.to_string(),
        )]
    };
    let server = start_entrepot(full, bench, remote.address(), &settings)?;
    verify(server.address, &image.by_tag)?;
    std::thread::sleep(SETTLE);
    rows.evict(bench, server.address, &image.by_tag, &straw, &made)?;

    let _full = server.stop();
    // The blob that woke eviction has come meanwhile.
    rows.evicted = (made.rows + 1).saturating_sub(store.count()?);
    ensure!(
        rows.evicted >= bench.plan.rows_evicted as u64,
        "only {} rows were evicted",
        rows.evicted
    );
    Ok(rows)
}

impl Rows {
    /// Starts on both stores, in a random order. The files are in the page cache.
    fn start(&mut self, bench: &Bench, full: TempDir, remote: &Remote) -> Result<TempDir> {
        let empty = Mirror::Entrepot.start(bench, remote.address())?.stop();
        let mut stores = [(EMPTY, Some(empty)), (FULL, Some(full))];
        for _ in 0..bench.plan.rows_starts {
            for (name, folder) in shuffled(&mut stores) {
                let store = folder.take().context("a store is in one place")?;
                let begin = Instant::now();
                let server = Mirror::Entrepot.start_in(store, bench, remote.address())?;
                self.start_seconds.add(name, begin.elapsed().as_secs_f64());
                *folder = Some(server.stop());
            }
        }
        let [_, (_, full)] = stores;
        full.context("a store is in one place")
    }

    fn evict(
        &mut self,
        bench: &Bench,
        address: SocketAddr,
        manifest: &Content,
        straw: &Content,
        made: &Made,
    ) -> Result<()> {
        p99_ms(address, manifest, || pause(WARM_UP))?;
        let quiet = p99_ms(address, manifest, || pause(bench.plan.rows_window))?;
        let evicting = p99_ms(address, manifest, || {
            pull(address, straw, &mut vec![1; straw.bytes])?;
            self.eviction_seconds = Some(wait_until_gone(&made.last_file)?);
            Ok(())
        })?;
        self.p99_ms.add(QUIET, quiet);
        self.p99_ms.add(EVICTING, evicting);
        Ok(())
    }
}

fn wait_until_gone(file: &Path) -> Result<f64> {
    let begin = Instant::now();
    while file.exists() {
        let waited = begin.elapsed();
        ensure!(waited < EVICTION_TIMEOUT, "{} stays", file.display());
        std::thread::sleep(POLL);
    }
    Ok(begin.elapsed().as_secs_f64())
}
