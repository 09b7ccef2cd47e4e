//! Many clients ask at once for a blob that the mirror does not have.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cold::DIRECT;
use crate::content::Content;
use crate::link::{Link, Shape};
use crate::plan::KIB;
use crate::pull::pull;
use crate::remote::Remote;
use crate::samples::{Samples, median, shuffled};
use crate::server::Mirror;
use crate::{Bench, progress};

pub(crate) const PHASE: &str = "crowd";
/// Small, so that the buffers of all clients together stay in the processor's cache.
const CLIENT_BUFFER_BYTES: usize = 128 * KIB;
/// How long a mirror may go on asking the remote after its last client is served.
const SETTLE: Duration = Duration::from_millis(300);

/// How many ask, and how fast the remote is.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) clients: usize,
    pub(crate) remote: Shape,
    /// Whether the clients are spread over replicas (`replicas.rs`).
    pub(crate) has_replicas: bool,
    /// They download once per client, which takes a minute or more: they run in the first round only.
    peers: &'static [Mirror],
    /// The most that the slowest client may take, as a multiple of a direct pull.
    pub(crate) max_slowest: Option<f64>,
    /// The most that half of the clients may wait for their first byte.
    pub(crate) max_first_byte_ms: Option<f64>,
}

pub(crate) struct Crowd {
    pub(crate) setting: Setting,
    /// Of the slowest client; of the only one for the direct pull.
    pub(crate) seconds: Samples,
    /// Of the median client.
    pub(crate) first_byte_ms: Samples,
    /// Bytes from the remote ÷ bytes of the blob.
    pub(crate) downloads: Samples,
}

/// What a crowd waited.
pub(crate) struct Waits {
    /// Until the last client had everything.
    pub(crate) slowest: Duration,
    /// Of the median client.
    pub(crate) first_byte_ms: f64,
}

/// One for each setting, without samples yet.
pub(crate) fn to_measure() -> [Crowd; 3] {
    let crowd = |setting| Crowd {
        setting,
        seconds: Samples::default(),
        first_byte_ms: Samples::default(),
        downloads: Samples::default(),
    };
    settings().map(crowd)
}

fn settings() -> [Setting; 3] {
    let remote = |bytes_per_second| Shape {
        bytes_per_second,
        round_trip: Duration::ZERO,
    };
    [
        Setting {
            name: "50 clients, remote 200 MB/s",
            clients: 50,
            remote: remote(200_000_000),
            has_replicas: false,
            peers: &[Mirror::Distribution, Mirror::DockerRegistry],
            max_slowest: Some(4.0),
            max_first_byte_ms: None,
        },
        Setting {
            name: "20 clients, remote 50 MB/s",
            clients: 20,
            remote: remote(50_000_000),
            has_replicas: false,
            peers: &[Mirror::Distribution],
            max_slowest: Some(1.1),
            max_first_byte_ms: Some(300.0),
        },
        Setting {
            name: "20 clients of 3 replicas, remote 50 MB/s",
            clients: 20,
            remote: remote(50_000_000),
            has_replicas: true,
            peers: &[],
            max_slowest: None,
            max_first_byte_ms: None,
        },
    ]
}

pub(crate) fn measure(bench: &mut Bench, crowd: &mut Crowd) -> Result<()> {
    let remote = Remote::start(bench)?;
    let link = Link::start(remote.address(), crowd.setting.remote)?;
    let mirrors = bench.start_mirrors(link.address())?;
    let blobs = remote.push_blobs(bench.plan.crowd_rounds, bench.plan.crowd_bytes)?;

    for (round, blob) in blobs.iter().enumerate() {
        progress(&format!(
            "one cold blob, {}, round {}",
            crowd.setting.name,
            round + 1
        ));
        let peers = if round == 0 { crowd.setting.peers } else { &[] };
        let runs =
            |name| name == Mirror::Entrepot.name() || peers.iter().any(|peer| peer.name() == name);
        let clients = crowd.setting.clients;
        let entrants = mirrors
            .iter()
            .filter(|mirror| runs(mirror.name))
            .map(|mirror| (mirror.name, mirror.address, clients));
        for (name, address, clients) in shuffled(entrants.chain([(DIRECT, link.address(), 1)])) {
            crowd.visit(name, &vec![address; clients], blob, &link)?;
        }
    }
    for mirror in &mirrors {
        bench
            .memory
            .note(mirror.name, PHASE, mirror.daemon.memory()?);
    }
    Ok(())
}

impl Crowd {
    /// One client for each of `addresses`.
    pub(crate) fn visit(
        &mut self,
        name: &'static str,
        addresses: &[SocketAddr],
        blob: &Content,
        link: &Link,
    ) -> Result<()> {
        let before = link.bytes_from_remote();
        let waits = pull_at_once(addresses, blob)
            .with_context(|| format!("{} clients at once, {name}", addresses.len()))?;
        std::thread::sleep(SETTLE);
        let from_remote = link.bytes_from_remote() - before;
        self.seconds.add(name, waits.slowest.as_secs_f64());
        self.first_byte_ms.add(name, waits.first_byte_ms);
        self.downloads
            .add(name, from_remote as f64 / blob.bytes as f64);
        rustix::fs::sync();
        Ok(())
    }
}

/// One client for each address. The first one keeps the body, which is checked after the clock has
/// stopped; the others count their bytes.
fn pull_at_once(addresses: &[SocketAddr], blob: &Content) -> Result<Waits> {
    let (first, others) = addresses.split_first().context("no clients")?;
    // Not zero: zeroed pages would be made on first use, within the time.
    let mut kept = vec![1; blob.bytes];
    let ready = Barrier::new(addresses.len());
    let client = |address, buffer: &mut [u8]| {
        ready.wait();
        let begin = Instant::now();
        let pull = pull(address, blob, buffer)?;
        anyhow::Ok((begin, Instant::now(), pull.first_byte))
    };
    let client = &client;
    let pulls = std::thread::scope(|scope| {
        let keeper = scope.spawn(|| client(*first, &mut kept));
        let counters: Vec<_> = others
            .iter()
            .map(|address| scope.spawn(|| client(*address, &mut vec![1; CLIENT_BUFFER_BYTES])))
            .collect();
        let all = counters.into_iter().chain([keeper]);
        all.map(|thread| thread.join().expect("a client does not panic"))
            .collect::<Result<Vec<_>>>()
    })?;
    blob.check(&kept)?;
    let begin = pulls.iter().map(|(begin, _, _)| *begin).min();
    let end = pulls.iter().map(|(_, end, _)| *end).max();
    let first_bytes = pulls
        .iter()
        .map(|(_, _, first_byte)| first_byte.as_secs_f64() * 1000.0);
    Ok(Waits {
        slowest: end.context("no clients")? - begin.context("no clients")?,
        first_byte_ms: median(first_bytes.collect()).context("no clients")?,
    })
}
