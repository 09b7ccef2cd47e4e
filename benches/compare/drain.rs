//! Clients that take the same body again and again: how much a server gives in a given time.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::content::Content;
use crate::http::{ACCEPT, Connection};
use crate::plan::{KIB, MIB};

/// Before the clock starts: connections are made, pages are read.
const WARM_UP: Duration = Duration::from_millis(150);
const BUFFER_BYTES: usize = MIB;
/// From here on the clients are few.
const LARGE_BYTES: usize = 256 * KIB;
const WRK_CONNECTIONS: &str = "32";

/// Answers per second over kept-alive connections; the begun part of an answer counts as such.
pub(crate) fn answers_per_second(
    address: SocketAddr,
    content: &Content,
    window: Duration,
) -> Result<f64> {
    let connections = if content.bytes < LARGE_BYTES { 8 } else { 4 };
    let begin = Instant::now() + WARM_UP;
    let end = begin + window;
    let bytes = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| drain(address, content, begin, end)))
            .collect();
        let joined = clients
            .into_iter()
            .map(|thread| thread.join().expect("a client does not panic"));
        joined.sum::<Result<u64>>()
    })?;
    Ok(bytes as f64 / content.bytes as f64 / window.as_secs_f64())
}

/// One client. Returns how many bytes of bodies came between `begin` and `end`.
fn drain(address: SocketAddr, content: &Content, begin: Instant, end: Instant) -> Result<u64> {
    let mut connection = Connection::open(address)?;
    let mut buffer = vec![1; BUFFER_BYTES];
    let mut counted = 0;
    loop {
        let mut answer = connection.get(&content.path)?;
        ensure!(
            answer.status() == 200,
            "{} at {address}: status {}",
            content.path,
            answer.status()
        );
        ensure!(
            answer.remaining() == content.bytes as u64,
            "{} at {address}: its length",
            content.path
        );
        while answer.remaining() > 0 {
            let count = answer.receive(&mut buffer).context("receive a body")?;
            let now = Instant::now();
            if now >= end {
                return Ok(counted);
            }
            if now >= begin {
                counted += count as u64;
            }
        }
    }
}

/// The same for small answers, by wrk: it takes less of the processor than threads that block.
pub(crate) fn small_answers_per_second(
    wrk: &Path,
    address: SocketAddr,
    content: &Content,
    window: Duration,
) -> Result<f64> {
    let url = format!("http://{address}{}", content.path);
    // It knows whole seconds only.
    let seconds = window.as_secs().max(1).to_string();
    let output = Command::new(wrk)
        .args([
            "-t1",
            "-c",
            WRK_CONNECTIONS,
            "-d",
            &seconds,
            "-H",
            &format!("Accept: {ACCEPT}"),
            &url,
        ])
        .output()
        .context("run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed for {url}\n{text}");
    let has_errors = text.contains("Non-2xx") || text.contains("Socket errors");
    ensure!(!has_errors, "wrk met errors at {url}\n{text}");
    let rate = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok())
        .with_context(|| format!("wrk gave no rate\n{text}"))
}
