//! One blob into one repository of a destination: nothing if it is there, a mount where the destination has it elsewhere,
//! else an upload.

use super::{
    Home, Job, SendError, destination::Place, home::give, progress::Placed, reader::Reader,
    upload::Upload,
};
use crate::{
    client::{ErrorKind, RegistryClient, Started, UploadSession},
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
        let elsewhere = places.0.first().or(self.order.mount_from.as_ref());
        let placed = match self.destination.place() {
            Place::Remote(client) => self.place_at(client, blob, elsewhere).await?,
            Place::Home(home) => self.place_here(&**home, blob, elsewhere).await?,
        };
        places.0.push(to.clone());
        Ok(placed)
    }

    async fn place_at(
        &self,
        client: &RegistryClient,
        blob: &Descriptor,
        elsewhere: Option<&Name>,
    ) -> Result<Placed, SendError> {
        let (to, digest) = (&self.order.to, &blob.digest);
        if client.blob_is_there(to, digest).await? {
            return Ok(Placed::Present);
        }
        let _permit = self.sender.permit().await;
        if let Some(notes) = self.sender.notes(blob)
            && let Some(session) = notes.session(client, to, digest).await?
        {
            self.upload(client, blob, session).await?;
            return Ok(Placed::Sent);
        }
        match self.start(client, digest, elsewhere).await? {
            Started::Mounted => Ok(Placed::Mounted),
            Started::Session(session) => {
                self.upload(client, blob, session).await?;
                Ok(Placed::Sent)
            }
        }
    }

    async fn place_here(
        &self,
        home: &dyn Home,
        blob: &Descriptor,
        elsewhere: Option<&Name>,
    ) -> Result<Placed, SendError> {
        let (to, digest) = (&self.order.to, &blob.digest);
        if home.has_blob(to, digest).await? {
            return Ok(Placed::Present);
        }
        let _permit = self.sender.permit().await;
        if let Some(from) = elsewhere
            && home.mount(to, digest, from).await?
        {
            return Ok(Placed::Mounted);
        }
        let reader = self.reader(blob).await?;
        let size = reader.total_bytes();
        let (given, body) = give(reader);
        let taken = home.take_blob(to, digest, size, body).await;
        match (taken, given.take_failure()) {
            (Ok(()), _) => Ok(Placed::Sent),
            (Err(_), Some(failure)) => Err(failure),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Reads the blob from the source, and knows its size if the source does.
    async fn reader(&self, blob: &Descriptor) -> Result<Reader, SendError> {
        let what = (&self.order.from, &blob.digest, blob.size);
        let budgets = self.sender.budgets().to_vec();
        let mut reader = Reader::new(self.source, what, budgets, self.progress);
        if blob.size.is_none() {
            reader.open().await?;
        }
        Ok(reader)
    }

    /// A mount is a wish: whatever speaks against it, an upload may still be.
    async fn start(
        &self,
        client: &RegistryClient,
        digest: &Digest,
        elsewhere: Option<&Name>,
    ) -> Result<Started, SendError> {
        let to = &self.order.to;
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

    async fn upload(
        &self,
        client: &RegistryClient,
        blob: &Descriptor,
        session: UploadSession,
    ) -> Result<(), SendError> {
        let reader = self.reader(blob).await?;
        let upload = Upload {
            client,
            destination: self.destination,
            to: &self.order.to,
            digest: &blob.digest,
            notes: self.sender.notes(blob),
        };
        Box::pin(upload.run(reader, session)).await
    }
}
