//! Writing an object: from a local file, which is compared with its digest on the way.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use object_store::{
    MultipartId, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    multipart::PartId,
};
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

const WRITE: &str = "store an object";

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
            let begun = self.inner.writing.create_multipart(&self.key(id)).await;
            upload.multipart = Some(begun.map_err(|error| ObjectError::of(WRITE, error))?);
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
                self.complete(&multipart, parts).await?;
                self.multipart = None;
                Ok(())
            }
        }
    }

    async fn put_whole(&self) -> Result<(), ObjectError> {
        let range = 0..self.blob.len();
        let _memory = self.memory(&range).await;
        let (bytes, hasher) = self.read(range, self.digest.algorithm().hasher()).await?;
        self.compare(hasher)?;
        let key = self.objects.key(self.id);
        let put = |mode: PutMode| {
            let options = PutOptions::from(mode);
            let payload = PutPayload::from_bytes(bytes.clone());
            self.objects.inner.writing.put_opts(&key, payload, options)
        };
        let put = match put(PutMode::Create).await {
            // Not every service can; an id is used once only, so that there is nothing to be overwritten.
            Err(object_store::Error::NotImplemented { .. }) => put(PutMode::Overwrite).await,
            put => put,
        };
        match put {
            Ok(_) => Ok(()),
            // S3 says so of a put of ours whose answer was lost, but also of one that another one disturbed.
            Err(error @ object_store::Error::AlreadyExists { .. }) => self.look_for(error).await,
            Err(error) => Err(ObjectError::of(WRITE, error)),
        }
    }

    /// Reads part after part; sends as many at once as there is memory for.
    async fn put_parts(&self, multipart: &MultipartId) -> Result<Vec<PartId>, ObjectError> {
        let mut hasher = self.digest.algorithm().hasher();
        let mut sending = JoinSet::new();
        let mut sent = Vec::new();
        for (index, range) in part::parts(self.blob.len()).enumerate() {
            let memory = self.memory(&range).await;
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

    async fn complete(
        &self,
        multipart: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<(), ObjectError> {
        let key = self.objects.key(self.id);
        let writing = &self.objects.inner.writing;
        match writing.complete_multipart(&key, multipart, parts).await {
            Ok(_) => Ok(()),
            // Its first answer may have been lost: then there is nothing left to complete.
            Err(error) => self.look_for(error).await,
        }
    }

    /// Is the object in place, in spite of this error?
    async fn look_for(&self, error: object_store::Error) -> Result<(), ObjectError> {
        let key = self.objects.key(self.id);
        match self.objects.inner.writing.head(&key).await {
            Ok(found) if found.size == self.blob.len() => Ok(()),
            _ => Err(ObjectError::of(WRITE, error)),
        }
    }

    async fn memory(&self, range: &Range<u64>) -> OwnedSemaphorePermit {
        let memory = std::sync::Arc::clone(&self.objects.inner.memory);
        let permit = memory.acquire_many_owned(part::memory_mib(range)).await;
        permit.expect("the semaphore is never closed")
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
        let key = self.objects.key(self.id);
        let writing = &self.objects.inner.writing;
        let put = writing.put_part(&key, &self.multipart, index, bytes.into());
        let part = put.await.map_err(|error| ObjectError::of(WRITE, error))?;
        Ok((index, part))
    }
}

/// The outcome of a part's task, which is never aborted while its upload is there to ask.
fn ended<T>(
    joined: Result<Result<T, ObjectError>, tokio::task::JoinError>,
) -> Result<T, ObjectError> {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
