//! From a request's body into the file of its session: one batch is written and hashed on blocking threads while the
//! next one is gathered.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::{PushError, hold::Sending, work::Worker};
use crate::store::UploadFile;

/// What is gathered before it is written, if it comes fast enough.
const BATCH_BYTES: u64 = 2 * 1024 * 1024;
/// How long is gathered, from the first byte on.
const BATCH_TIME: Duration = Duration::from_millis(250);

/// How a body ended.
pub(super) enum Ended {
    Whole,
    /// The connection broke, or nothing came any more, or another request goes on in its place.
    Broken,
    /// More came than was announced; that is not taken in.
    TooLong,
}

/// Takes in a body of at most `limit` bytes; what came before it broke stays in the file. What is in the file is sent on
/// meanwhile, if it is to be.
pub(super) async fn receive<B>(
    file: UploadFile,
    mut sending: Option<&mut Sending<'_>>,
    worker: &Worker,
    body: B,
    limit: Option<u64>,
) -> Result<(UploadFile, Ended), PushError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut source = Source {
        body,
        worker,
        left: limit.unwrap_or(u64::MAX),
    };
    let (mut batch, mut ended) = source.gather().await;
    let mut file = file;
    loop {
        match ended {
            Some(ended) if batch.is_empty() => return Ok((file, ended)),
            Some(ended) => return Ok((file.append(batch).await?, ended)),
            None => {}
        }
        let (written, next) = tokio::join!(file.append(batch), source.gather());
        file = written?;
        (batch, ended) = next;
        if let Some(sending) = &mut sending {
            sending.advance(&file).await?;
        }
    }
}

struct Source<'w, B> {
    body: B,
    worker: &'w Worker,
    /// Bytes that may still come.
    left: u64,
}

impl<B: Body<Data = Bytes> + Unpin> Source<'_, B> {
    /// The next batch, and how the body ended if it has.
    async fn gather(&mut self) -> (Vec<Bytes>, Option<Ended>) {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut deadline = None;
        while bytes < BATCH_BYTES {
            let frame = match deadline {
                None => tokio::select! {
                    biased;
                    frame = self.body.frame() => Some(frame),
                    () = self.worker.loses_patience() => None,
                },
                Some(deadline) => match timeout_at(deadline, self.body.frame()).await {
                    Ok(frame) => Some(frame),
                    Err(_elapsed) => return (batch, None),
                },
            };
            let chunk = match frame {
                Some(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) => chunk,
                    Err(_trailers) => continue,
                },
                Some(None) => return (batch, Some(Ended::Whole)),
                Some(Some(Err(_))) | None => return (batch, Some(Ended::Broken)),
            };
            let length = chunk.len() as u64;
            if length > self.left {
                return (batch, Some(Ended::TooLong));
            }
            self.left -= length;
            bytes += length;
            if length > 0 {
                batch.push(chunk);
                deadline = deadline.or_else(|| Some(Instant::now() + BATCH_TIME));
            }
        }
        (batch, None)
    }
}
