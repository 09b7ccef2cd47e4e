//! Blobs: from the store, from a running fill, or by a new one; always by a right of the repository's own.

use futures_util::FutureExt;

use super::{Answer, Mirror, MirrorError, Outcome, Repository, flight::Seat};
use crate::{
    client::Patience,
    meta::Referenced,
    oci::Digest,
    transfer::{Content, FillRequest, Joined},
};

/// How a repository may see a digest without asking its remote.
struct Right {
    /// It has a row.
    linked: bool,
    /// A manifest that its remote served names it.
    named: Option<Referenced>,
}

impl Right {
    fn is_known(&self) -> bool {
        self.linked || self.named.is_some()
    }

    fn size_bytes(&self) -> Option<u64> {
        self.named.as_ref().and_then(|named| named.size_bytes)
    }
}

impl Mirror {
    /// Answers `GET blobs/<digest>`.
    pub async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer<Content>, MirrorError> {
        let linked = self
            .inner
            .meta
            .blob_linked(&repository.name, digest)
            .await?;
        let stored = self.inner.store.get(digest).await?;
        if let (true, Some(blob)) = (linked, &stored) {
            return Ok(hit(Content::Stored(blob.clone())));
        }
        let right = self.right(repository, digest, linked).await?;
        if let Some(blob) = stored {
            if !right.is_known() {
                self.ask_for_right(repository, digest).await?;
            }
            let repositories = std::slice::from_ref(&repository.name);
            self.inner
                .meta
                .blob_link(repositories, digest, blob.len())
                .await?;
            return Ok(hit(Content::Stored(blob)));
        }
        self.fill_blob(repository, digest, &right).await
    }

    /// Joins the fill of this digest or starts it.
    async fn fill_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        right: &Right,
    ) -> Result<Answer<Content>, MirrorError> {
        let request = FillRequest {
            digest: digest.clone(),
            repository: repository.name.clone(),
            client: self.client_for(repository, digest)?,
            remote_name: repository.remote_name.clone(),
            size_bytes: right.size_bytes(),
        };
        let mut joined = self.inner.fills.join(&request, right.is_known()).await?;
        if matches!(joined, Joined::NeedsRight) {
            self.ask_for_right(repository, digest).await?;
            joined = self.inner.fills.join(&request, true).await?;
        }
        let (tail, outcome) = match joined {
            Joined::Leader(tail) => (tail, Outcome::Miss),
            Joined::Follower(tail) => (tail, Outcome::Joined),
            Joined::NeedsRight => return Err(MirrorError::Internal),
        };
        Ok(Answer {
            content: Content::Filling(tail),
            outcome,
            age: None,
        })
    }

    /// Answers `HEAD blobs/<digest>`: the size in bytes. Nothing is downloaded.
    pub async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer<u64>, MirrorError> {
        let linked = self
            .inner
            .meta
            .blob_linked(&repository.name, digest)
            .await?;
        let stored = self.inner.store.get(digest).await?;
        if let (true, Some(blob)) = (linked, &stored) {
            return Ok(hit(blob.len()));
        }
        let right = self.right(repository, digest, linked).await?;
        if let Some(size_bytes) = right.size_bytes() {
            return Ok(hit(size_bytes));
        }
        let (said, seat) = self.ask_for_size(repository, digest).await?;
        let size_bytes =
            said.or(stored.map(|blob| blob.len()))
                .ok_or_else(|| MirrorError::BadGateway {
                    message: format!("the remote does not tell the size of {digest}"),
                })?;
        Ok(Answer {
            content: size_bytes,
            outcome: seat.outcome(Outcome::Miss),
            age: None,
        })
    }

    async fn right(
        &self,
        repository: &Repository,
        digest: &Digest,
        linked: bool,
    ) -> Result<Right, MirrorError> {
        Ok(Right {
            linked,
            named: self
                .inner
                .meta
                .blob_referenced(&repository.name, digest)
                .await?,
        })
    }

    /// One HEAD at the repository's own remote proves the right to a digest that is here for others.
    async fn ask_for_right(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), MirrorError> {
        self.ask_for_size(repository, digest).await.map(drop)
    }

    async fn ask_for_size(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(Option<u64>, Seat), MirrorError> {
        let client = self.client_for(repository, digest)?;
        let key = (repository.name.clone(), digest.clone());
        let (name, digest) = (repository.remote_name.clone(), digest.clone());
        let ask = async move { Ok(client.blob_head(&name, &digest, Patience::Full).await?) };
        let (result, seat) = self.inner.blob_heads.run(key, ask.boxed()).await;
        Ok((result?, seat))
    }
}

fn hit<T>(content: T) -> Answer<T> {
    Answer {
        content,
        outcome: Outcome::Hit,
        age: None,
    }
}
