//! One client pushes a blob to each server as a registry of its own, which must keep it.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::content::{Content, random_bytes};
use crate::pull::verify;
use crate::pusher::{Pusher, Way};
use crate::report::{figure, peers_header, table};
use crate::samples::{Samples, shuffled};
use crate::server::{Mirror, Server};
use crate::{Bench, progress};

pub(crate) const PHASE: &str = "pushes";

pub(crate) struct Pushes {
    pub(crate) name: &'static str,
    way: Way,
    pub(crate) seconds: Samples,
}

/// One for each way of sending it, without samples yet.
pub(crate) fn to_measure() -> [Pushes; 2] {
    [("PUT", Way::Put), ("PATCH, then PUT", Way::PatchAndPut)].map(|(name, way)| Pushes {
        name,
        way,
        seconds: Samples::default(),
    })
}

pub(crate) fn measure(bench: &mut Bench, pushes: &mut [Pushes]) -> Result<()> {
    let servers: Vec<_> = bench
        .mirrors
        .iter()
        .map(|mirror| Ok((*mirror, mirror.start_hosting(bench)?)))
        .collect::<Result<_>>()?;
    let rounds = bench.plan.push_rounds;
    for round in 1..=rounds {
        progress(&format!("pushes, round {round} of {rounds}"));
        for push in &mut *pushes {
            let body = random_bytes(bench.plan.push_bytes);
            let blob = Content::blob(&body);
            for (mirror, server) in shuffled(&servers) {
                push.visit(*mirror, server, &blob, &body)
                    .with_context(|| format!("a push to {}", server.name))?;
            }
        }
    }
    for (_, server) in &servers {
        let memory = server.daemon.memory()?;
        bench.memory.note(server.name, PHASE, memory);
    }
    Ok(())
}

impl Pushes {
    fn visit(
        &mut self,
        mirror: Mirror,
        server: &Server,
        blob: &Content,
        body: &[u8],
    ) -> Result<()> {
        let pusher = match mirror {
            Mirror::Entrepot => Pusher::logged_in(server.address)?,
            _ => Pusher::anonymous(server.address),
        };
        let begin = Instant::now();
        pusher.push_blob(blob, body, self.way)?;
        self.seconds.add(server.name, begin.elapsed().as_secs_f64());
        verify(server.address, blob)?;
        // What one server still has to write must not slow the next one down.
        rustix::fs::sync();
        Ok(())
    }
}

/// Seconds for each way and server.
pub(crate) fn report(pushes: &[Pushes]) -> String {
    let rows = pushes.iter().map(|push| {
        let seconds = Mirror::ALL.map(|mirror| figure(push.seconds.median(mirror.name()), " s"));
        [push.name.to_owned()].into_iter().chain(seconds).collect()
    });
    table(&peers_header("after POST"), rows)
}
