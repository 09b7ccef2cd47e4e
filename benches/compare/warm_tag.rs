//! A tag that was pulled a moment ago is pulled again and again: how often the remote is asked.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::content::{Content, manifest, random_bytes};
use crate::link::{Link, Shape};
use crate::plan::KIB;
use crate::pull::verify;
use crate::pusher::{Pusher, Way};
use crate::remote::Remote;
use crate::samples::Samples;
use crate::{Bench, progress};

pub(crate) const PULLS: usize = 50;
const TAG: &str = "latest";
const CONFIG_BYTES: usize = 2 * KIB;
const LAYER_BYTES: usize = 256 * KIB;
/// What a mirror still asks on account of the pull before is not counted.
const SETTLE: Duration = Duration::from_secs(1);
/// As fast as it gets.
const REMOTE: Shape = Shape {
    bytes_per_second: 100_000_000_000,
    round_trip: Duration::ZERO,
};

/// A manifest, by its tag and by its digest, and the blobs that it names.
pub(crate) struct Image {
    pub(crate) by_tag: Content,
    by_digest: Content,
    blobs: Vec<Content>,
}

/// The requests to the remote, for all pulls together.
pub(crate) fn measure(bench: &mut Bench) -> Result<Samples> {
    progress("a warm tag");
    let remote = Remote::start(bench)?;
    let link = Link::start(remote.address(), REMOTE)?;
    let image = Image::push(&remote.pusher())?;

    let mut requests = Samples::default();
    for mirror in bench.start_mirrors(link.address())? {
        let pull = || {
            let pulled = image.pull(mirror.address);
            pulled.with_context(|| format!("pulls of a warm tag, {}", mirror.name))
        };
        for _ in 0..2 {
            pull()?;
            std::thread::sleep(SETTLE);
        }
        let before = link.requests();
        for _ in 0..PULLS {
            pull()?;
        }
        std::thread::sleep(SETTLE);
        requests.add(mirror.name, (link.requests() - before) as f64);
    }
    Ok(requests)
}

impl Image {
    /// Makes a small one and pushes it.
    pub(crate) fn push(pusher: &Pusher) -> Result<Self> {
        let blobs = [CONFIG_BYTES, LAYER_BYTES].map(random_bytes);
        let blobs: Vec<_> = blobs
            .iter()
            .map(|body| {
                let blob = Content::blob(body);
                pusher.push_blob(&blob, body, Way::Put)?;
                Ok(blob)
            })
            .collect::<Result<_>>()?;
        let body = manifest(&blobs);
        pusher.push_manifest(&body, TAG)?;
        let by_tag = Content::manifest(&body, TAG);
        Ok(Self {
            by_digest: Content::manifest(&body, &by_tag.digest),
            by_tag,
            blobs,
        })
    }

    /// Pulls all of it, as a client does that has nothing yet, and checks it.
    pub(crate) fn pull(&self, address: SocketAddr) -> Result<()> {
        let manifests = [&self.by_tag, &self.by_digest];
        manifests
            .into_iter()
            .chain(&self.blobs)
            .try_for_each(|content| verify(address, content))
    }
}
