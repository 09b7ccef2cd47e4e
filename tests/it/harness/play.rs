//! Plays an answer's script into a connection: the same for HTTP/1.1 and HTTP/2.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::pace::Pace;
use super::recorder::Entry;
use super::reply::{Body, Reply, Script, Step};

/// Small enough to see progress, large enough to be quick.
const CHUNK_BYTES: usize = 128 * 1024;

/// A request that was received and its answer, on the way out.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) reply: Reply,
    pub(super) entry: Entry,
    pub(super) head_only: bool,
    pub(super) paces: Vec<Arc<Pace>>,
}

/// Where the body goes.
pub(super) trait Sink: Send {
    fn write(&mut self, chunk: Bytes) -> impl Future<Output = Result<(), Broken>> + Send;

    /// Waits, but not longer than the client is there.
    fn wait(
        &mut self,
        what: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<(), Broken>> + Send;
}

/// Why an answer ended early.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The client went away.
    Gone,
    Cut,
    Reset,
    Raw(Bytes),
}

/// One step of the script; an error ends the answer.
pub(super) async fn play_step(step: Step, sink: &mut impl Sink) -> Result<(), Broken> {
    match step {
        Step::Wait(time) => sink.wait(tokio::time::sleep(time)).await,
        Step::Hang => sink.wait(std::future::pending()).await,
        Step::Gate(gate) => sink.wait(async move { gate.pass().await }).await,
        Step::Cut => Err(Broken::Cut),
        Step::Reset => Err(Broken::Reset),
        Step::Raw(bytes) => Err(Broken::Raw(bytes)),
    }
}

/// The body with all that is scripted for it; `Ok` means that all of it was written.
pub(super) async fn play_body(
    body: &Body,
    script: &mut Script,
    entry: &Entry,
    paces: &[Arc<Pace>],
    sink: &mut impl Sink,
) -> Result<(), Broken> {
    script
        .in_body
        .sort_by_key(|(offset, _)| std::cmp::Reverse(*offset));
    let largest = paces
        .iter()
        .map(|pace| pace.chunk_bytes())
        .min()
        .unwrap_or(CHUNK_BYTES);
    let largest = script
        .drip
        .map_or(largest, |(bytes, _)| bytes)
        .min(CHUNK_BYTES);
    let mut at = 0_u64;
    loop {
        while let Some((_, step)) = script.in_body.pop_if(|(offset, _)| *offset <= at) {
            play_step(step, sink).await?;
        }
        let until_step = script
            .in_body
            .last()
            .map_or(u64::MAX, |(offset, _)| offset - at);
        let limit = usize::try_from(until_step)
            .unwrap_or(usize::MAX)
            .min(largest);
        let chunk = body.chunk(at, limit);
        if chunk.is_empty() {
            return Ok(());
        }
        if let Some((_, pause)) = script.drip
            && at > 0
        {
            sink.wait(tokio::time::sleep(pause)).await?;
        }
        for pace in paces {
            pace.take(chunk.len()).await;
        }
        let end = at + chunk.len() as u64;
        entry.sent(chunk.len());
        if body.length() == Some(end) && script.in_body.is_empty() {
            entry.ending();
        }
        sink.write(flip(chunk, at, script.flipped_byte)).await?;
        at = end;
    }
}

/// The chunk with the byte at `flipped` inverted, if it is in it.
fn flip(chunk: Bytes, at: u64, flipped: Option<u64>) -> Bytes {
    let place = flipped
        .and_then(|offset| offset.checked_sub(at))
        .and_then(|offset| usize::try_from(offset).ok())
        .filter(|offset| *offset < chunk.len());
    let Some(place) = place else { return chunk };
    let mut changed = BytesMut::from(&chunk[..]);
    changed[place] ^= 0xff;
    changed.freeze()
}
