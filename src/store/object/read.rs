//! Reading an object.

use std::{
    fmt,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, GetResult, ObjectStore as _};
use tokio::time::Instant;

use super::{ObjectError, ObjectId, Objects};

/// From the question to the first byte, with all retries: whoever waits may have another way to the content.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long nobody asks after a question that had no answer: not everybody is to wait for the same outage.
const OUTAGE: Duration = Duration::from_secs(5);

const READ: &str = "read an object";

/// Remembers that the storage was away.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    fn is_on(&self) -> bool {
        self.lock().is_some_and(|until| Instant::now() < until)
    }

    fn note<T>(&self, outcome: &Result<T, ObjectError>) {
        match outcome {
            Err(ObjectError::Unavailable { .. } | ObjectError::TimedOut { .. }) => {
                *self.lock() = Some(Instant::now() + OUTAGE);
            }
            _ => *self.lock() = None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        // One word cannot be half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects {
    /// Opens bytes of an object that is `size_bytes` long; `range` lies within it. A connection that breaks is made
    /// again from its byte on, a few times.
    pub async fn read(
        &self,
        id: ObjectId,
        range: Range<u64>,
        size_bytes: u64,
    ) -> Result<ObjectBody, ObjectError> {
        debug_assert!(range.start <= range.end && range.end <= size_bytes);
        if range.is_empty() && range.start > 0 {
            return Ok(ObjectBody::empty());
        }
        let options = GetOptions {
            // No range can be had of an empty object.
            range: (range != (0..size_bytes)).then(|| GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let opened = self.open(id, options).await?;
        if opened.meta.size != size_bytes {
            return Err(ObjectError::WrongSize {
                expected: size_bytes,
                actual: opened.meta.size,
            });
        }
        Ok(ObjectBody {
            stream: opened.into_stream(),
            left: range.end - range.start,
        })
    }

    async fn open(&self, id: ObjectId, options: GetOptions) -> Result<GetResult, ObjectError> {
        let outage = &self.inner.outage;
        if outage.is_on() {
            return Err(ObjectError::Away { action: READ });
        }
        let key = self.key(id);
        let open = self.inner.reading.get_opts(&key, options);
        let opened = ObjectError::within(OPEN_TIMEOUT, READ, open).await;
        outage.note(&opened);
        opened
    }
}

/// Bytes of an object, in chunks.
pub struct ObjectBody {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    left: u64,
}

impl ObjectBody {
    fn empty() -> Self {
        Self {
            stream: futures_util::stream::empty().boxed(),
            left: 0,
        }
    }

    /// The next chunk; `None` when all that was asked for has come. An end before that is an error. May be dropped and
    /// called again: nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Bytes, ObjectError>> {
        if self.left == 0 {
            return None;
        }
        let mut chunk = match self.stream.next().await {
            Some(Ok(chunk)) => chunk,
            Some(Err(source)) => return Some(Err(ObjectError::of(READ, source))),
            None => return Some(Err(self.ended_early())),
        };
        chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= chunk.len() as u64;
        Some(Ok(chunk))
    }

    fn ended_early(&self) -> ObjectError {
        let left = self.left;
        ObjectError::Unavailable {
            action: READ,
            source: object_store::Error::Generic {
                store: "S3",
                source: format!("the body ended {left} bytes early").into(),
            },
        }
    }
}

impl fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBody")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
