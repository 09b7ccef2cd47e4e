//! One blob into one repository of a destination: nothing if it is there, a mount where the destination has it elsewhere,
//! else an upload.

use super::{Job, SendError, progress::Placed, reader::Reader, upload::Upload};
use crate::{
    client::{ErrorKind, Started, UploadSession},
    oci::{Descriptor, Digest, Name},
};

impl Job<'_> {
    /// Sees to it that the destination's repository has the blob.
    pub(super) async fn place_blob(&self, blob: &Descriptor) -> Result<(), SendError> {
        let size = blob.size.unwrap_or_default();
        self.progress.found(size);
        let placed = self.placed(blob).await?;
        self.progress.placed(placed, size);
        Ok(())
    }

    async fn placed(&self, blob: &Descriptor) -> Result<Placed, SendError> {
        let (to, digest) = (&self.order.to, &blob.digest);
        let places = self.destination.places(digest);
        let mut places = places.lock().await;
        if places.0.contains(to) {
            return Ok(Placed::Present);
        }
        let client = self.destination.client();
        if client.blob_is_there(to, digest).await? {
            places.0.push(to.clone());
            return Ok(Placed::Present);
        }
        let elsewhere = places.0.first().or(self.order.mount_from.as_ref());
        let _permit = self.sender.permit().await;
        let placed = match self.start(digest, elsewhere).await? {
            Started::Mounted => Placed::Mounted,
            Started::Session(session) => {
                self.upload(blob, session).await?;
                Placed::Sent
            }
        };
        places.0.push(to.clone());
        Ok(placed)
    }

    /// A mount is a wish: whatever speaks against it, an upload may still be.
    async fn start(&self, digest: &Digest, elsewhere: Option<&Name>) -> Result<Started, SendError> {
        let (client, to) = (self.destination.client(), &self.order.to);
        if let Some(from) = elsewhere {
            match client.blob_mount(to, digest, from).await {
                Ok(started) => return Ok(started),
                Err(error)
                    if matches!(
                        error.kind,
                        ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Invalid
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Started::Session(client.upload_start(to).await?))
    }

    async fn upload(&self, blob: &Descriptor, session: UploadSession) -> Result<(), SendError> {
        let what = (&self.order.from, &blob.digest, blob.size);
        let budgets = self.sender.budgets().to_vec();
        let mut reader = Reader::new(self.source, what, budgets, self.progress);
        if blob.size.is_none() {
            reader.open().await?;
        }
        let upload = Upload {
            destination: self.destination,
            to: &self.order.to,
            digest: &blob.digest,
        };
        Box::pin(upload.run(reader, session)).await
    }
}
