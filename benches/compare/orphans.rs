//! A store with a million rows of hosted content: what cleaning up behind it does to those who pull meanwhile.
//!
//! Half of the orphans are blobs that no repository has; the others were pushed to one, and no manifest names them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::content::Content;
use crate::http::Connection;
use crate::pull::verify;
use crate::pusher::{LOGIN, Pusher};
use crate::report::{figure, table};
use crate::samples::Samples;
use crate::server::{Mirror, start_entrepot_hosting};
use crate::steady::{p99_ms, pause};
use crate::store_rows::StoreRows;
use crate::warm_tag::Image;
use crate::{Bench, progress};

pub(crate) const QUIET: &str = "quiet";
pub(crate) const CLEANING: &str = "cleaning";
/// The first sum over all rows is made behind the start.
const SETTLE: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_millis(500);
/// It rests half of the time, and answers at its end.
const CLEANING_TIMEOUT: Duration = Duration::from_mins(5);

#[derive(Default)]
pub(crate) struct Orphans {
    /// Rows of blobs.
    rows: u64,
    /// How many of them go in a round.
    count: usize,
    /// Of a cached manifest at a fixed rate of requests.
    pub(crate) p99_ms: Samples,
    seconds: Samples,
}

pub(crate) fn measure(bench: &Bench) -> Result<Orphans> {
    let mut orphans = Orphans {
        count: bench.plan.orphans,
        ..Orphans::default()
    };
    if !bench.mirrors.contains(&Mirror::Entrepot) {
        return Ok(orphans);
    }
    progress(&format!("{} rows of pushes: making them", bench.plan.rows));
    let server = Mirror::Entrepot.start_hosting(bench)?;
    let image = Image::push(&Pusher::logged_in(server.address)?)?;
    let mut folder = server.stop();
    let store = StoreRows {
        folder: folder.path().join("data"),
        project: "bench",
        rows: bench.plan.rows,
        evicted: orphans.count,
    };
    orphans.rows = store.make()?.rows;

    for round in 0..bench.plan.orphan_rounds {
        progress(&format!("cleaning up, round {}", round + 1));
        store.add_orphans(store.rows + round * orphans.count, orphans.count)?;
        let before = store.count()?;
        let server = start_entrepot_hosting(folder, bench)?;
        verify(server.address, &image.by_tag)?;
        std::thread::sleep(SETTLE);
        orphans.round(bench, server.address, &image.by_tag)?;
        folder = server.stop();
        let gone = before.saturating_sub(store.count()?);
        ensure!(gone == orphans.count as u64, "{gone} orphans were deleted");
    }
    Ok(orphans)
}

impl Orphans {
    fn round(&mut self, bench: &Bench, address: SocketAddr, manifest: &Content) -> Result<()> {
        p99_ms(address, manifest, || pause(WARM_UP))?;
        let quiet = || p99_ms(address, manifest, || pause(bench.plan.rows_window));
        let before = quiet()?;
        let cleaning = p99_ms(address, manifest, || {
            let begin = Instant::now();
            let mut connection = Connection::open(address)?;
            connection.be_patient(CLEANING_TIMEOUT)?;
            let answer = connection.send("POST", "/api/v1/upkeep/orphans", LOGIN, b"")?;
            ensure!(answer.status() == 200, "status {}", answer.status());
            self.seconds.add(CLEANING, begin.elapsed().as_secs_f64());
            Ok(())
        })?;
        // What else goes on at the machine changes within a minute.
        let quiet = f64::midpoint(before, quiet()?);
        self.p99_ms.add(QUIET, quiet);
        self.p99_ms.add(CLEANING, cleaning);
        Ok(())
    }

    pub(crate) fn report(&self) -> String {
        let p99 = |when| figure(self.p99_ms.median(when), " ms");
        let lines = [
            ("p99 of a manifest".to_owned(), p99(QUIET)),
            (
                format!(
                    "the same while {} orphans are found and deleted",
                    self.count
                ),
                p99(CLEANING),
            ),
            (
                format!("finding and deleting them among {} rows", self.rows),
                figure(self.seconds.median(CLEANING), " s"),
            ),
        ];
        let rows = lines.map(|(what, value)| vec![what, value]);
        table(&["what", "entrepot"], rows)
    }
}
