//! Blobs: from the store, from a running fill, or by a new one; always by a right of the repository's own.

use futures_util::FutureExt;

use super::{Answer, Mirror, MirrorError, Outcome, Repository, absent::Thing, flight::Seat};
use crate::{
    client::Patience,
    config::Visibility,
    meta::Referenced,
    oci::{Digest, Name},
    store::Blob,
    transfer::{Content, FillRequest, Joined, Origin, Reconciled, RemoteBlob},
};

/// How a repository may see a digest.
struct Right {
    /// It has a row, or a running fill is about to give it one, or its remote has just said so.
    granted: bool,
    /// A manifest that its remote served names it.
    named: Option<Referenced>,
    /// What is here of it is no secret, so that being named is right enough.
    open: bool,
}

impl Right {
    fn is_known(&self) -> bool {
        self.granted || (self.open && self.named.is_some())
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
        let answer = self.find_blob(repository, digest).await?;
        self.inner.meta.uses().note(&repository.name, digest);
        Ok(answer)
    }

    async fn find_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer<Content>, MirrorError> {
        let linked = self
            .inner
            .meta
            .blob_linked(&repository.name, digest)
            .await?;
        let mut stored = self.inner.store.get(digest).await?;
        if let (true, Some(blob)) = (linked, &stored) {
            return Ok(hit(Content::Stored(blob.clone())));
        }
        let mut right = self.right(repository, digest).await?;
        if linked && stored.is_none() {
            self.note_loss(digest).await;
        }
        loop {
            if let Some(blob) = stored {
                return self.share_blob(repository, digest, &mut right, blob).await;
            }
            let filled = self.fill_blob(repository, digest, &mut right).boxed();
            if let Some(answer) = filled.await? {
                return Ok(answer);
            }
            stored = self.inner.store.get(digest).await?;
        }
    }

    /// Rows say that a blob is here whose file is lost.
    async fn note_loss(&self, digest: &Digest) {
        match self.inner.fills.reconcile(digest).await {
            Ok(Reconciled::RowsDeleted) => {
                tracing::warn!(%digest, "a blob's file is gone; it is fetched anew");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%digest, %error, "cannot note that a blob's file is gone"),
        }
    }

    /// A blob that is here becomes visible in this repository.
    async fn share_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        right: &mut Right,
        blob: Blob,
    ) -> Result<Answer<Content>, MirrorError> {
        if !right.is_known() {
            self.ask_for_right(repository, digest, right).await?;
        }
        self.link(repository, digest, &blob).await;
        Ok(hit(Content::Stored(blob)))
    }

    /// What cannot be linked is served all the same: the next time the right is proven again.
    async fn link(&self, repository: &Repository, digest: &Digest, blob: &Blob) {
        let adopt = self.inner.fills.adopt(&repository.name, digest, blob.len());
        if let Err(error) = adopt.await {
            tracing::error!(repository = %repository.name, %digest, %error, "cannot write the row of a blob that is here");
        }
    }

    /// Joins the fill of this digest or starts it. `None`: it ended meanwhile, and the blob is in the store.
    async fn fill_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        right: &mut Right,
    ) -> Result<Option<Answer<Content>>, MirrorError> {
        let (origin, is_object) = self.origin(repository, digest, right).await?;
        let request = FillRequest {
            digest: digest.clone(),
            repository: repository.name.clone(),
            origin,
            size_bytes: right.size_bytes(),
            is_linked: false,
        };
        if !is_object {
            self.inner
                .absences
                .check(&thing(repository, digest))
                .await?;
        }
        let mut joined = self.join_fill(repository, &request, right).await?;
        if matches!(joined, Joined::NeedsRight) {
            // Another replica may have filled it for this repository since the rows were looked at.
            *right = self.right(repository, digest).await?;
            if !right.is_known() {
                self.ask_for_right(repository, digest, right).await?;
            }
            joined = self.join_fill(repository, &request, right).await?;
        }
        let (content, outcome) = match joined {
            Joined::Leader(tail) if is_object => (Content::Filling(tail), Outcome::Hit),
            Joined::Leader(tail) => (Content::Filling(tail), Outcome::Miss),
            Joined::Follower(tail) => (Content::Filling(tail), Outcome::Joined),
            Joined::NoRoom => {
                let passing = self.inner.fills.pass(&request).await?;
                (Content::Passing(passing), Outcome::Bypass)
            }
            Joined::Stored => return Ok(None),
            Joined::NeedsRight => return Err(MirrorError::Internal),
        };
        Ok(Some(Answer {
            content,
            outcome,
            age: None,
        }))
    }

    /// Where the content can be had from, and whether object storage comes first. That it has it proves no right.
    async fn origin(
        &self,
        repository: &Repository,
        digest: &Digest,
        right: &mut Right,
    ) -> Result<(Origin, bool), MirrorError> {
        let object = match self.inner.fills.tier() {
            Some(tier) => tier.object(digest).await?,
            None => None,
        };
        if object.is_some() && !right.is_known() {
            self.ask_for_right(repository, digest, right).await?;
        }
        let client = match &object {
            Some(_) => self.client(repository),
            None => Some(
                self.client_for(repository, &thing(repository, digest))
                    .await?,
            ),
        };
        let remote = client.map(|client| RemoteBlob {
            client,
            name: repository.remote_name.clone(),
        });
        let is_object = object.is_some();
        let origin = Origin::new(object, remote).expect("without an object there is a client");
        Ok((origin, is_object))
    }

    /// The size of content that is here, or in object storage.
    async fn size_here(&self, digest: &Digest) -> Result<Option<u64>, MirrorError> {
        if let Some(blob) = self.inner.store.get(digest).await? {
            return Ok(Some(blob.len()));
        }
        let Some(tier) = self.inner.fills.tier() else {
            return Ok(None);
        };
        let object = tier.object(digest).await?;
        Ok(object.map(|object| object.size_bytes()))
    }

    async fn join_fill(
        &self,
        repository: &Repository,
        request: &FillRequest,
        right: &Right,
    ) -> Result<Joined, MirrorError> {
        let join = async { Ok(self.inner.fills.join(request, right.is_known()).await?) };
        let ttl = repository.project.negative_ttl;
        let thing = thing(repository, &request.digest);
        self.inner.absences.learn(thing, ttl, join.boxed()).await
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
        let here = self.size_here(digest).await?;
        if let (true, Some(size_bytes)) = (linked, here) {
            return Ok(hit(size_bytes));
        }
        let right = self.right(repository, digest).await?;
        let known = here.filter(|_| right.granted);
        if let Some(size_bytes) = known.or(right.size_bytes()) {
            return Ok(hit(size_bytes));
        }
        let (said, seat) = self.ask_for_size(repository, digest).await?;
        // What is here was verified, and says more than a remote does.
        let size_bytes = here.or(said).ok_or_else(|| MirrorError::BadGateway {
            message: format!("the remote does not tell the size of {digest}"),
        })?;
        Ok(Answer {
            content: size_bytes,
            outcome: seat.outcome(Outcome::Miss),
            age: None,
        })
    }

    /// Looked at in this order, a fill that ends meanwhile is not overlooked: its rows come before its end.
    async fn right(&self, repository: &Repository, digest: &Digest) -> Result<Right, MirrorError> {
        let (fills, meta) = (&self.inner.fills, &self.inner.meta);
        let granted = fills.is_filling_for(digest, &repository.name)
            || meta.blob_linked(&repository.name, digest).await?;
        let named = meta.blob_referenced(&repository.name, digest).await?;
        let open = !granted && named.is_some() && self.is_open_to(repository, digest).await?;
        Ok(Right {
            granted,
            named,
            open,
        })
    }

    /// Is this content here, or on its way, for a public repository, or for one of this project that is as open as this
    /// one?
    ///
    /// Anybody can push a manifest somewhere that names what he does not have, so a name is no key to what only
    /// private repositories hold.
    pub(super) async fn is_open_to(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, MirrorError> {
        let filling = self.inner.fills.filling_for(digest);
        let projects = self.projects();
        let own = projects.visibility_of(&repository.project, &repository.name);
        let is_open = |name: &Name| {
            let Some(project) = projects.get(name.first()) else {
                return false;
            };
            let visibility = projects.visibility_of(project, name);
            visibility == Visibility::Public
                || (visibility == own && project.name == repository.project.name)
        };
        if filling.iter().any(is_open) {
            return Ok(true);
        }
        Ok(self.inner.meta.blob_is_in(digest, is_open).await?)
    }

    /// One HEAD at the repository's own remote proves the right to a digest that is here for others.
    async fn ask_for_right(
        &self,
        repository: &Repository,
        digest: &Digest,
        right: &mut Right,
    ) -> Result<(), MirrorError> {
        self.ask_for_size(repository, digest).await?;
        right.granted = true;
        Ok(())
    }

    async fn ask_for_size(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(Option<u64>, Seat), MirrorError> {
        let thing = thing(repository, digest);
        let client = self.client_for(repository, &thing).await?;
        self.inner.absences.check(&thing).await?;
        let key = (repository.name.clone(), digest.clone());
        let (name, digest) = (repository.remote_name.clone(), digest.clone());
        let (mirror, ttl) = (self.clone(), repository.project.negative_ttl);
        let ask = async move {
            let head = async { Ok(client.blob_head(&name, &digest, Patience::Full).await?) };
            mirror.inner.absences.learn(thing, ttl, head.boxed()).await
        };
        let (result, seat) = self.inner.blob_heads.run(key, ask.boxed()).await;
        Ok((result?, seat))
    }
}

fn thing(repository: &Repository, digest: &Digest) -> Thing {
    Thing::Blob(repository.name.clone(), digest.clone())
}

fn hit<T>(content: T) -> Answer<T> {
    Answer {
        content,
        outcome: Outcome::Hit,
        age: None,
    }
}
