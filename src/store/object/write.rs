//! The requests that write an object, one by one.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use object_store::{
    MultipartId, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    multipart::PartId,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{ObjectError, ObjectId, Objects, part};

const WRITE: &str = "store an object";

impl Objects {
    /// Waits until a part of this range may be in memory.
    pub(super) async fn memory(&self, range: &Range<u64>) -> OwnedSemaphorePermit {
        let memory = Arc::clone(&self.inner.memory);
        let permit = memory.acquire_many_owned(part::memory_mib(range)).await;
        permit.expect("the semaphore is never closed")
    }

    /// A whole object in one request.
    pub(super) async fn put_bytes(&self, id: ObjectId, bytes: Bytes) -> Result<(), ObjectError> {
        let (key, size) = (self.key(id), bytes.len() as u64);
        let put = |mode: PutMode| {
            let options = PutOptions::from(mode);
            let payload = PutPayload::from_bytes(bytes.clone());
            self.inner.writing.put_opts(&key, payload, options)
        };
        let put = match put(PutMode::Create).await {
            // Not every service can; an id is used once only, so that there is nothing to be overwritten.
            Err(object_store::Error::NotImplemented { .. }) => put(PutMode::Overwrite).await,
            put => put,
        };
        match put {
            Ok(_) => Ok(()),
            // S3 says so of a put of ours whose answer was lost, but also of one that another one disturbed.
            Err(error @ object_store::Error::AlreadyExists { .. }) => {
                self.look_for(id, size, error).await
            }
            Err(error) => Err(ObjectError::of(WRITE, error)),
        }
    }

    /// Begins an upload in parts.
    pub(super) async fn create_multipart(&self, id: ObjectId) -> Result<MultipartId, ObjectError> {
        let begun = self.inner.writing.create_multipart(&self.key(id)).await;
        begun.map_err(|error| ObjectError::of(WRITE, error))
    }

    pub(super) async fn put_part(
        &self,
        id: ObjectId,
        multipart: &MultipartId,
        index: usize,
        bytes: Bytes,
    ) -> Result<PartId, ObjectError> {
        let key = self.key(id);
        let writing = &self.inner.writing;
        let put = writing.put_part(&key, multipart, index, bytes.into());
        put.await.map_err(|error| ObjectError::of(WRITE, error))
    }

    /// Makes the parts an object of this size.
    pub(super) async fn complete(
        &self,
        id: ObjectId,
        multipart: &MultipartId,
        parts: Vec<PartId>,
        size_bytes: u64,
    ) -> Result<(), ObjectError> {
        let key = self.key(id);
        let writing = &self.inner.writing;
        match writing.complete_multipart(&key, multipart, parts).await {
            Ok(_) => Ok(()),
            // Its first answer may have been lost: then there is nothing left to complete.
            Err(error) => self.look_for(id, size_bytes, error).await,
        }
    }

    /// Is the object in place, in spite of this error?
    async fn look_for(
        &self,
        id: ObjectId,
        size_bytes: u64,
        error: object_store::Error,
    ) -> Result<(), ObjectError> {
        match self.inner.writing.head(&self.key(id)).await {
            Ok(found) if found.size == size_bytes => Ok(()),
            _ => Err(ObjectError::of(WRITE, error)),
        }
    }
}
