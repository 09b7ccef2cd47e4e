//! Requests at a fixed rate, and how long they wait for their answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::content::Content;
use crate::http::Connection;
use crate::plan::KIB;

const PER_SECOND: u32 = 1000;
const CONNECTIONS: u32 = 8;

/// The time within which 99 of 100 answers came that were asked for while `meanwhile` ran, in
/// milliseconds.
pub(crate) fn p99_ms(
    address: SocketAddr,
    content: &Content,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<f64> {
    let is_over = &AtomicBool::new(false);
    let begin = Instant::now();
    let mut waits = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| begin + Duration::from_secs(1) * number / PER_SECOND)
            .map(|begin| scope.spawn(move || ask(address, content, begin, is_over)))
            .collect();
        let result = meanwhile();
        is_over.store(true, Ordering::Relaxed);
        let joined = clients
            .into_iter()
            .map(|thread| thread.join().expect("a client does not panic"));
        let waits = joined.collect::<Result<Vec<_>>>();
        result.and(waits)
    })?
    .concat();
    waits.sort_unstable();
    let worst = waits.len() / 100;
    let wait = waits.iter().rev().nth(worst);
    Ok(wait.context("no answers")?.as_secs_f64() * 1000.0)
}

/// A time in which nothing else goes on, for [`p99_ms`].
#[expect(clippy::unnecessary_wraps, reason = "as what may fail has it")]
pub(crate) fn pause(time: Duration) -> Result<()> {
    std::thread::sleep(time);
    Ok(())
}

/// One client with a kept-alive connection.
fn ask(
    address: SocketAddr,
    content: &Content,
    begin: Instant,
    is_over: &AtomicBool,
) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(address)?;
    let mut buffer = vec![1; 64 * KIB];
    let mut waits = Vec::new();
    let mut due = begin;
    while !is_over.load(Ordering::Relaxed) {
        due += Duration::from_secs(1) * CONNECTIONS / PER_SECOND;
        let early = due.saturating_duration_since(Instant::now());
        std::thread::sleep(early);
        // A request that had to wait for the answer before it has waited since it was due; one that
        // this thread overslept has not.
        let asked = if early.is_zero() { due } else { Instant::now() };
        let mut answer = connection.get(&content.path)?;
        ensure!(answer.status() == 200, "status {}", answer.status());
        while answer.remaining() > 0 {
            answer.receive(&mut buffer).context("receive a body")?;
        }
        waits.push(asked.elapsed());
    }
    Ok(waits)
}
