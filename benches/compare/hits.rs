//! What a mirror has already: blobs of several sizes and a manifest, again and again, beside nginx
//! with the same bytes as files.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::content::{Content, REPOSITORY, manifest, random_bytes};
use crate::drain::{answers_per_second, small_answers_per_second};
use crate::plan::{KIB, MIB};
use crate::pull::verify;
use crate::remote::Remote;
use crate::samples::{Samples, shuffled};
use crate::server::{Server, start_nginx};
use crate::{Bench, progress};

pub(crate) const PHASE: &str = "hits";
const TAG: &str = "latest";
/// A registry may store what it has just served a moment later.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) struct Hits {
    pub(crate) name: String,
    pub(crate) content: Content,
    pub(crate) is_manifest: bool,
    /// Answers per second.
    pub(crate) rate: Samples,
}

pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Hits>> {
    progress("filling the caches");
    let remote = Remote::start(bench)?;
    let (mut objects, nginx) = prepare(bench, &remote)?;
    let mut servers = bench.start_mirrors(remote.address())?;
    servers.push(nginx);
    for server in &servers {
        warm(server, &objects)?;
    }
    rustix::fs::sync();

    for round in 1..=bench.plan.hit_rounds {
        progress(&format!("hits, round {round} of {}", bench.plan.hit_rounds));
        for object in &mut objects {
            for server in shuffled(&servers) {
                object.visit(server, &bench.tools.wrk, bench.plan.hit_window)?;
            }
        }
    }
    for server in &servers {
        bench
            .memory
            .note(server.name, PHASE, server.daemon.memory()?);
    }
    Ok(objects)
}

/// Pushes an image to the remote, and gives nginx the same as files.
fn prepare(bench: &Bench, remote: &Remote) -> Result<(Vec<Hits>, Server)> {
    let bodies: Vec<Vec<u8>> = bench
        .plan
        .hit_bytes
        .iter()
        .map(|bytes| random_bytes(*bytes))
        .collect();
    let blobs = bodies
        .iter()
        .map(|body| remote.push_blob(body))
        .collect::<Result<Vec<_>>>()?;
    let manifest = manifest(&blobs);
    remote.pusher().push_manifest(&manifest, TAG)?;

    let by_tag = Content::manifest(&manifest, TAG);
    let by_digest = Content::manifest(&manifest, &by_tag.digest);
    let files = blobs
        .iter()
        .zip(&bodies)
        .map(|(blob, body)| (blob.path.as_str(), body.as_slice()));
    let manifests =
        [&by_tag, &by_digest].map(|content| (content.path.as_str(), manifest.as_slice()));
    let nginx = start_nginx(bench, &files.chain(manifests).collect::<Vec<_>>())?;

    let mut objects: Vec<_> = blobs
        .into_iter()
        .map(|blob| Hits::new(size_name(blob.bytes), blob, false))
        .collect();
    objects.push(Hits::new("manifest by tag".to_owned(), by_tag, true));
    objects.push(Hits::new("manifest by digest".to_owned(), by_digest, true));
    Ok((objects, nginx))
}

/// Pulls everything twice, checking each body: the first is a miss for a mirror, the second shows
/// that what it stored is right.
fn warm(server: &Server, objects: &[Hits]) -> Result<()> {
    for _ in 0..2 {
        for object in objects {
            verify(server.address, &object.content)
                .with_context(|| format!("{} of {REPOSITORY}, {}", object.name, server.name))?;
        }
        std::thread::sleep(SETTLE);
    }
    Ok(())
}

impl Hits {
    fn new(name: String, content: Content, is_manifest: bool) -> Self {
        Self {
            name,
            content,
            is_manifest,
            rate: Samples::default(),
        }
    }

    fn visit(&mut self, server: &Server, wrk: &Path, window: Duration) -> Result<()> {
        let rate = if self.is_manifest {
            small_answers_per_second(wrk, server.address, &self.content, window)
        } else {
            answers_per_second(server.address, &self.content, window)
        };
        let rate = rate.with_context(|| format!("{}, {}", self.name, server.name))?;
        self.rate.add(server.name, rate);
        Ok(())
    }
}

fn size_name(bytes: usize) -> String {
    if bytes < MIB {
        format!("blob {} KiB", bytes / KIB)
    } else {
        format!("blob {} MiB", bytes / MIB)
    }
}
