//! One client that pulls one body over a fresh connection, against the clock.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::content::Content;
use crate::http::Connection;
use crate::plan::MIB;

/// The most that one receive asks for.
const RECEIVE_BYTES: usize = MIB;

pub(crate) struct Pull {
    /// From before the connection until the first byte of the body.
    pub(crate) first_byte: Duration,
    /// Until the last byte.
    pub(crate) total: Duration,
}

/// Pulls `content` into `buffer`: the body as it came, if there is room for all of it; otherwise
/// only the last of it is left there.
pub(crate) fn pull(address: SocketAddr, content: &Content, buffer: &mut [u8]) -> Result<Pull> {
    let begin = Instant::now();
    let mut connection = Connection::open(address)?;
    let mut answer = connection.get(&content.path)?;
    ensure!(
        answer.status() == 200,
        "{} at {address}: status {}",
        content.path,
        answer.status()
    );
    let length = answer.remaining();
    ensure!(
        length == content.bytes as u64,
        "{} at {address}: {length} bytes",
        content.path
    );

    let mut first_byte = None;
    let mut offset = 0;
    while answer.remaining() > 0 {
        let end = buffer.len().min(offset + RECEIVE_BYTES);
        let count = answer
            .receive(&mut buffer[offset..end])
            .with_context(|| format!("{} at {address}", content.path))?;
        first_byte.get_or_insert_with(|| begin.elapsed());
        offset = (offset + count) % buffer.len();
    }
    let total = begin.elapsed();
    Ok(Pull {
        first_byte: first_byte.unwrap_or(total),
        total,
    })
}

/// Pulls `content` and holds its digest against the one it was pushed with.
pub(crate) fn verify(address: SocketAddr, content: &Content) -> Result<()> {
    let mut body = vec![0; content.bytes];
    pull(address, content, &mut body)?;
    content
        .check(&body)
        .with_context(|| format!("{} at {address}", content.path))
}
