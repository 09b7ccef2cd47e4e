//! What is taken in of a body: what comes in order, is allowed, has room, and is as long as was said.

use bytes::Bytes;
use http_body::Body;

use super::{
    Chunk, PushError, Pushes, Repository,
    hold::Sending,
    receive::{Ended, receive},
    work::Worker,
};
use crate::{oci::Digest, store::UploadFile};

/// What a body is for.
pub(super) struct Aim<'a> {
    pub(super) repository: &'a Repository,
    /// Once the client has said it.
    pub(super) digest: Option<&'a Digest>,
    /// Who takes it in.
    pub(super) worker: &'a Worker,
}

impl Pushes {
    /// Appends a body that begins where the file ends. Gives the file back with what came, and whether that is all that
    /// was to come.
    pub(super) async fn take_in(
        &self,
        aim: &Aim<'_>,
        file: UploadFile,
        sending: Option<&mut Sending<'_>>,
        chunk: Chunk,
        body: impl Body<Data = Bytes> + Unpin,
    ) -> Result<(UploadFile, Result<(), PushError>), PushError> {
        let begin = file.received();
        // distribution-spec, "Pushing a blob in chunks": in order, each where the last one ended.
        if chunk.range.is_some_and(|(first, _)| first != begin) {
            return Ok((file, Err(PushError::OutOfOrder { received: begin })));
        }
        let announced = match chunk.announced() {
            Ok(announced) => announced,
            Err(error) => return Ok((file, Err(error))),
        };
        // Of a stream at least one byte.
        if let Err(error) = self.admit(aim, begin, announced.unwrap_or(1)).await {
            return Ok((file, Err(error)));
        }
        let (file, ended) = receive(file, sending, aim.worker, body, announced).await?;
        let received = file.received();
        let came = received - begin;
        let outcome = match (ended, announced) {
            (Ended::Whole, Some(announced)) if came != announced => Err(PushError::WrongSize(
                format!("{announced} bytes were announced, and {came} came"),
            )),
            (Ended::Whole, _) => Ok(()),
            (Ended::TooLong, _) => Err(PushError::WrongSize(
                "the body has more bytes than were announced".to_owned(),
            )),
            (Ended::Broken, _) => Err(PushError::Broken { received }),
        };
        Ok((file, outcome))
    }

    /// Refuses, before any of it is sent, what the project may not take and what would not fit on the disk.
    async fn admit(&self, aim: &Aim<'_>, begin: u64, bytes: u64) -> Result<(), PushError> {
        let whole = begin.saturating_add(bytes);
        let allowances = &self.inner.allowances;
        allowances.check(aim.repository, aim.digest, whole).await?;
        self.find_room(bytes).await
    }

    /// Is there room for so many bytes more on the disk? If not, eviction is woken.
    pub(super) async fn find_room(&self, bytes: u64) -> Result<(), PushError> {
        if self.inner.fills.space().has_room(bytes).await? {
            return Ok(());
        }
        tracing::error!(
            bytes,
            "a push is refused: the disk has no room for {bytes} bytes"
        );
        Err(PushError::NoSpace)
    }
}
