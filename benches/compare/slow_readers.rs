//! Many clients that take a blob the mirror has, slowly: what they cost of memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::content::{Content, random_bytes};
use crate::http::Connection;
use crate::plan::KIB;
use crate::pull::verify;
use crate::remote::Remote;
use crate::samples::Samples;
use crate::{Bench, progress};

pub(crate) const PHASE: &str = "slow readers";
pub(crate) const READERS: u32 = 200;
const PIECE_BYTES: usize = 64 * KIB;
const EVERY: Duration = Duration::from_millis(100);
/// A registry may store what it has just served a moment later.
const SETTLE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct SlowReaders {
    /// The most that the server took from its start on.
    pub(crate) peak_mib: Samples,
    /// What the readers got ÷ what they would have taken.
    pub(crate) pace: Samples,
}

pub(crate) fn measure(bench: &mut Bench) -> Result<SlowReaders> {
    let remote = Remote::start(bench)?;
    let body = random_bytes(bench.plan.slow_bytes);
    let blob = remote.push_blob(&body)?;

    let mut measured = SlowReaders::default();
    for mirror in bench.mirrors.clone() {
        progress(&format!("{READERS} slow readers, {}", mirror.name()));
        let folder = bench.new_folder()?;
        let server = mirror.start_in(folder, bench, remote.address())?;
        for _ in 0..2 {
            verify(server.address, &blob)?;
            std::thread::sleep(SETTLE);
        }
        // Another process: the peak is not to be that of the fill.
        let server = mirror.start_in(server.stop(), bench, remote.address())?;
        let window = bench.plan.slow_window;
        let pace = read_slowly(server.address, &blob, &body, window)
            .with_context(|| format!("slow readers, {}", server.name))?;
        let memory = server.daemon.memory()?;
        bench.memory.note(server.name, PHASE, memory);
        measured.peak_mib.add(server.name, memory.peak_mib);
        measured.pace.add(server.name, pace);
    }
    Ok(measured)
}

fn read_slowly(address: SocketAddr, blob: &Content, body: &[u8], window: Duration) -> Result<f64> {
    let begin = Instant::now();
    let end = begin + window;
    let received = std::thread::scope(|scope| {
        // Not all in the same moment.
        let readers: Vec<_> = (0..READERS)
            .map(|number| begin + EVERY * number / READERS)
            .map(|begin| scope.spawn(move || read(address, blob, body, begin, end)))
            .collect();
        let joined = readers
            .into_iter()
            .map(|thread| thread.join().expect("a reader does not panic"));
        joined.sum::<Result<u64>>()
    })?;
    let pieces = window.as_secs_f64() / EVERY.as_secs_f64() * f64::from(READERS);
    Ok(received as f64 / (pieces * PIECE_BYTES as f64))
}

/// One reader: a piece every so often, and never two at once to make up for a late one. Returns how
/// many bytes came until `end`, each of them the right one.
fn read(
    address: SocketAddr,
    blob: &Content,
    body: &[u8],
    begin: Instant,
    end: Instant,
) -> Result<u64> {
    let mut due = begin;
    let mut buffer = vec![1; PIECE_BYTES];
    let mut received = 0;
    sleep_until(due);
    let mut connection = Connection::open(address)?;
    let mut answer = connection.get(&blob.path)?;
    ensure!(answer.status() == 200, "status {}", answer.status());
    ensure!(answer.remaining() == body.len() as u64, "its length");
    while answer.remaining() > 0 && due < end {
        let mut piece = 0;
        while piece < PIECE_BYTES && answer.remaining() > 0 {
            let count = answer
                .receive(&mut buffer[piece..])
                .context("receive a body")?;
            ensure!(
                buffer[piece..piece + count] == body[received..received + count],
                "wrong content after {received} bytes"
            );
            piece += count;
            received += count;
        }
        due = (due + EVERY).max(Instant::now());
        sleep_until(due.min(end));
    }
    Ok(received as u64)
}

fn sleep_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}
