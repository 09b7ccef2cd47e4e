//! Writing an object: from a local file, which is compared with its digest on the way.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use object_store::{MultipartId, multipart::PartId};
use tokio::{
    runtime::Handle,
    sync::OwnedSemaphorePermit,
    task::{JoinSet, spawn_blocking},
};

use super::{
    ObjectError, ObjectId, Objects,
    part::{self, PART_BYTES},
};
use crate::{
    oci::{Digest, Hasher},
    store::Blob,
};

/// How long the abort of a dropped upload may take: the process may be ending.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

impl Objects {
    /// Begins to write a blob as this object, which must be new. To be finished, or dropped.
    pub async fn begin(
        &self,
        id: ObjectId,
        digest: &Digest,
        blob: Blob,
    ) -> Result<Upload, ObjectError> {
        let mut upload = Upload {
            objects: self.clone(),
            id,
            digest: digest.clone(),
            blob,
            multipart: None,
        };
        if upload.blob.len() > PART_BYTES {
            upload.multipart = Some(self.create_multipart(id).await?);
        }
        Ok(upload)
    }
}

/// An object on its way. Dropped or failed, it is aborted: the storage keeps no parts. What a process that is killed
/// leaves behind, [`Objects::abort`] takes away.
pub struct Upload {
    objects: Objects,
    id: ObjectId,
    digest: Digest,
    blob: Blob,
    /// Of large content; goes when it is complete.
    multipart: Option<MultipartId>,
}

impl Upload {
    /// What [`Objects::abort`] needs to take the parts away; `None` for small content, which has no parts.
    pub fn multipart(&self) -> Option<&str> {
        self.multipart.as_deref()
    }

    /// Sends everything. The object is in place and right when this returns without an error; with one, it may be in
    /// place all the same, when the storage's answer was lost.
    pub async fn finish(mut self) -> Result<(), ObjectError> {
        match self.multipart.clone() {
            None => self.put_whole().await,
            Some(multipart) => {
                let parts = self.put_parts(&multipart).await?;
                self.objects
                    .complete(self.id, &multipart, parts, self.blob.len())
                    .await?;
                self.multipart = None;
                Ok(())
            }
        }
    }

    async fn put_whole(&self) -> Result<(), ObjectError> {
        let range = 0..self.blob.len();
        let _memory = self.objects.memory(&range).await;
        let (bytes, hasher) = self.read(range, self.digest.algorithm().hasher()).await?;
        self.compare(hasher)?;
        self.objects.put_bytes(self.id, bytes).await
    }

    async fn put_parts(&self, multipart: &MultipartId) -> Result<Vec<PartId>, ObjectError> {
        let mut sending = JoinSet::new();
        let sent = self.send_parts(multipart, &mut sending).await;
        if sent.is_err() {
            // A part that is still on its way may outlive the abort that follows.
            while sending.join_next().await.is_some() {}
        }
        sent
    }

    /// Reads part after part; sends as many at once as there is memory for.
    async fn send_parts(
        &self,
        multipart: &MultipartId,
        sending: &mut JoinSet<Result<(usize, PartId), ObjectError>>,
    ) -> Result<Vec<PartId>, ObjectError> {
        let mut hasher = self.digest.algorithm().hasher();
        let mut sent = Vec::new();
        for (index, range) in part::parts(self.blob.len()).enumerate() {
            let memory = self.objects.memory(&range).await;
            while let Some(part) = sending.try_join_next() {
                sent.push(ended(part)?);
            }
            let bytes;
            (bytes, hasher) = self.read(range, hasher).await?;
            sending.spawn(self.clone_for_part(multipart).put(index, bytes, memory));
        }
        self.compare(hasher)?;
        while let Some(part) = sending.join_next().await {
            sent.push(ended(part)?);
        }
        sent.sort_unstable_by_key(|(index, _)| *index);
        Ok(sent.into_iter().map(|(_, part)| part).collect())
    }

    /// Reads and hashes on a blocking thread.
    async fn read(
        &self,
        range: Range<u64>,
        mut hasher: Hasher,
    ) -> Result<(Bytes, Hasher), ObjectError> {
        let blob = self.blob.clone();
        let read = spawn_blocking(move || {
            let bytes = blob.read_piece(&range)?;
            hasher.update(&bytes);
            Ok((bytes, hasher))
        });
        let read = read.await.map_err(std::io::Error::other).flatten();
        read.map_err(|source| ObjectError::Local {
            digest: self.digest.clone(),
            source,
        })
    }

    fn compare(&self, hasher: Hasher) -> Result<(), ObjectError> {
        let actual = hasher.finish();
        if actual == self.digest {
            return Ok(());
        }
        Err(ObjectError::Damaged {
            expected: self.digest.clone(),
            actual,
        })
    }

    fn clone_for_part(&self, multipart: &MultipartId) -> Part {
        Part {
            objects: self.objects.clone(),
            id: self.id,
            multipart: multipart.clone(),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(multipart) = self.multipart.take() else {
            return;
        };
        let (objects, id) = (self.objects.clone(), self.id);
        let abort = async move {
            let abort = tokio::time::timeout(DROP_TIMEOUT, objects.abort(id, &multipart));
            if !matches!(abort.await, Ok(Ok(()))) {
                tracing::warn!(%id, "cannot abort an upload; it will be tried again");
            }
        };
        // Without a runtime the process is at its end, and the row that remembers the upload is what is left.
        if let Ok(runtime) = Handle::try_current() {
            self.objects.inner.tasks.spawn_on(abort, &runtime);
        }
    }
}

/// What a part needs to be sent by a task of its own.
struct Part {
    objects: Objects,
    id: ObjectId,
    multipart: MultipartId,
}

impl Part {
    async fn put(
        self,
        index: usize,
        bytes: Bytes,
        _memory: OwnedSemaphorePermit,
    ) -> Result<(usize, PartId), ObjectError> {
        let put = self
            .objects
            .put_part(self.id, &self.multipart, index, bytes);
        Ok((index, put.await?))
    }
}

/// The outcome of a part's task, which is never aborted while its upload is there to ask.
fn ended<T>(
    joined: Result<Result<T, ObjectError>, tokio::task::JoinError>,
) -> Result<T, ObjectError> {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
