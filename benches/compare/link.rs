//! A TCP proxy in front of the remote: it limits what comes from there, delays both directions,
//! and counts. Whoever asks through it, a client directly or a mirror, is limited the same.
//!
//! ```text
//! client ── request ──▶ wait(one way) ──────────────▶ remote
//! client ◀─ wait(one way) ◀── wait for a slot ◀────── remote     one rate for all connections
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

const CHUNK_BYTES: usize = 64 * 1024;
/// The first byte of a record of TLS (RFC 8446, 5.1).
const TLS_RECORDS: std::ops::RangeInclusive<u8> = 20..=23;
/// More chunks than a round trip holds at any rate used here.
const CHUNKS_UNDER_WAY: usize = 256;
/// How far the clock of the rate may lag: what oversleeping cost is made up for within it.
const CATCH_UP: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) bytes_per_second: u64,
    pub(crate) round_trip: Duration,
}

pub(crate) struct Link {
    address: SocketAddr,
    traffic: Arc<Traffic>,
    acceptor: Option<JoinHandle<()>>,
}

struct Traffic {
    remote: SocketAddr,
    shape: Shape,
    /// When the next chunk from the remote may pass.
    next_slot: Mutex<Instant>,
    bytes_from_remote: AtomicU64,
    requests: AtomicU64,
    is_closed: AtomicBool,
}

impl Link {
    pub(crate) fn start(remote: SocketAddr, shape: Shape) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind a free port")?;
        let address = listener.local_addr().context("the address of a listener")?;
        let traffic = Arc::new(Traffic {
            remote,
            shape,
            next_slot: Mutex::new(Instant::now()),
            bytes_from_remote: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&traffic);
        let acceptor = std::thread::spawn(move || accept(&listener, &accepting));
        Ok(Self {
            address,
            traffic,
            acceptor: Some(acceptor),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes the remote has sent so far, heads of answers included.
    pub(crate) fn bytes_from_remote(&self) -> u64 {
        self.traffic.bytes_from_remote.load(Ordering::Relaxed)
    }

    /// How often the remote was sent something: once for each request, as none here has a body. Who greets it by TLS,
    /// which it does not speak, asks nothing.
    pub(crate) fn requests(&self) -> u64 {
        self.traffic.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    /// Connections end when either side closes its own.
    fn drop(&mut self) {
        self.traffic.is_closed.store(true, Ordering::Relaxed);
        // Wakes the acceptor, which then sees that it is over.
        if TcpStream::connect(self.address).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, traffic: &Arc<Traffic>) {
    for client in listener.incoming() {
        if traffic.is_closed.load(Ordering::Relaxed) {
            return;
        }
        // A client whose connection fails here sees it closed, and that ends the run.
        if let Ok(client) = client {
            let _ = connect(client, traffic);
        }
    }
}

/// Joins a client with the remote; each direction has a thread of its own.
fn connect(client: TcpStream, traffic: &Arc<Traffic>) -> std::io::Result<()> {
    let remote = TcpStream::connect(traffic.remote)?;
    client.set_nodelay(true)?;
    remote.set_nodelay(true)?;
    let (from_client, to_remote) = (client.try_clone()?, remote.try_clone()?);

    let up = Arc::clone(traffic);
    std::thread::spawn(move || {
        // A handshake over the distance would have cost one round trip before the first byte.
        let handshake = Instant::now() + up.shape.round_trip;
        let one_way = up.shape.round_trip / 2;
        carry(from_client, to_remote, one_way, |chunk| {
            let is_tls = chunk.first().is_some_and(|byte| TLS_RECORDS.contains(byte));
            up.requests.fetch_add(u64::from(!is_tls), Ordering::Relaxed);
            handshake
        });
    });
    let down = Arc::clone(traffic);
    std::thread::spawn(move || {
        let one_way = down.shape.round_trip / 2;
        carry(remote, client, one_way, |chunk| down.take_slot(chunk.len()));
    });
    Ok(())
}

impl Traffic {
    /// Counts `count` bytes from the remote and says when they may pass.
    fn take_slot(&self, count: usize) -> Instant {
        self.bytes_from_remote
            .fetch_add(count as u64, Ordering::Relaxed);
        let cost = Duration::from_secs_f64(count as f64 / self.shape.bytes_per_second as f64);
        let mut next = self
            .next_slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let earliest = Instant::now().checked_sub(CATCH_UP).unwrap_or(*next);
        *next = (*next).max(earliest) + cost;
        *next
    }
}

/// Carries bytes until one side closes, each chunk at its `slot` and `one_way` after it.
fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    one_way: Duration,
    slot: impl Fn(&[u8]) -> Instant,
) {
    if one_way.is_zero() {
        let _ = read_chunks(&mut from, slot, |_, chunk| to.write_all(chunk).is_ok());
        let _ = to.shutdown(Shutdown::Write);
        return;
    }
    let (sender, receiver) = sync_channel(CHUNKS_UNDER_WAY);
    let writer = std::thread::spawn(move || write_late(&receiver, to));
    let _ = read_chunks(&mut from, slot, |passed, chunk| {
        sender.send((passed + one_way, chunk.to_vec())).is_ok()
    });
    drop(sender);
    let _ = writer.join();
}

/// Reads until the end, or until `pass` refuses a chunk; then nothing more is wanted of `from`.
fn read_chunks(
    from: &mut TcpStream,
    slot: impl Fn(&[u8]) -> Instant,
    mut pass: impl FnMut(Instant, &[u8]) -> bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        // A slot may lie in the past, but nothing passes before it has come.
        let passed = Instant::now().max(slot(&buffer[..count]));
        sleep_until(passed);
        if !pass(passed, &buffer[..count]) {
            return from.shutdown(Shutdown::Both);
        }
    }
}

fn write_late(chunks: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, chunk) in chunks {
        sleep_until(due);
        if to.write_all(&chunk).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn sleep_until(due: Instant) {
    let wait = due.saturating_duration_since(Instant::now());
    if !wait.is_zero() {
        std::thread::sleep(wait);
    }
}
