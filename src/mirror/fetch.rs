//! Manifests that are not here: fetched from the remote, or adopted when they are here for somebody else.

use std::time::SystemTime;

use futures_util::FutureExt;
use tokio::time::timeout;

use super::{
    Answer, ManifestContent, Mirror, MirrorError, Outcome, Repository, absent::Thing,
    dial::is_scarce, listed::ListKey,
};
use crate::{
    client::{Patience, RegistryClient, RemoteManifest},
    meta::{ManifestCommit, TagRow},
    oci::{Digest, Manifest, ManifestKind, Reference, Tag},
};

/// What is to be fetched.
#[derive(Clone)]
pub(super) struct Fetch {
    pub(super) client: RegistryClient,
    pub(super) repository: Repository,
    pub(super) reference: Reference,
    /// The tag's row that led to this.
    pub(super) seen: Option<TagRow>,
}

impl Fetch {
    fn thing(&self) -> Thing {
        Thing::Manifest(self.repository.name.clone(), self.reference.clone())
    }
}

impl Mirror {
    /// As `fetch_manifest`. For who has something else to serve it is not worth the last of a rate budget either.
    pub(super) async fn fetch_missing(
        &self,
        repository: &Repository,
        reference: &Reference,
        seen: Option<TagRow>,
        patience: Patience,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        let thing = Thing::Manifest(repository.name.clone(), reference.clone());
        let client = self.client_for(repository, &thing).await?;
        if patience == Patience::Short && is_scarce(&client) {
            return Err(MirrorError::Unavailable {
                message: format!("the rate budget of remote {} is low", client.remote().name),
                retry_after: None,
            });
        }
        let fetch = Fetch {
            client,
            repository: repository.clone(),
            reference: reference.clone(),
            seen,
        };
        self.fetch_manifest(fetch, patience).await
    }

    /// Gets a manifest from the remote, once however many ask, and keeps it. Who has something else to serve does not
    /// wait long, but the fetch goes on.
    pub(super) async fn fetch_manifest(
        &self,
        fetch: Fetch,
        patience: Patience,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        self.inner.absences.check(&fetch.thing()).await?;
        let answer_timeout = fetch.client.remote().answer_timeout;
        let key = (fetch.repository.name.clone(), fetch.reference.clone());
        let mirror = self.clone();
        let run = async move { mirror.fetch_manifest_alone(&fetch).await };
        let flight = self.inner.manifest_fetches.run(key, run.boxed());
        let (result, seat) =
            match patience {
                Patience::Full => flight.await,
                Patience::Short => timeout(answer_timeout, flight).await.map_err(|_elapsed| {
                    MirrorError::TimedOut {
                        message: "the remote did not give a manifest in time".to_owned(),
                    }
                })?,
            };
        let (content, outcome) = result?;
        Ok(Answer {
            content,
            outcome: seat.outcome(outcome),
            age: None,
        })
    }

    async fn fetch_manifest_alone(
        &self,
        fetch: &Fetch,
    ) -> Result<(ManifestContent, Outcome), MirrorError> {
        // The fetch before this one may have ended after the caller had looked.
        if let Some(content) = self.come_meanwhile(fetch).await? {
            return Ok((content, Outcome::Hit));
        }
        let turn = self.turn(&fetch.repository, &fetch.reference, fetch.seen.is_some());
        let turn = turn.await;
        if turn.has_others
            && let Some(content) = self.come_meanwhile(fetch).await?
        {
            return Ok((content, Outcome::Hit));
        }
        let ttl = fetch.repository.project.negative_ttl;
        let get = self.get_or_adopt(fetch);
        self.inner
            .absences
            .learn(fetch.thing(), ttl, get.boxed())
            .await
    }

    async fn come_meanwhile(&self, fetch: &Fetch) -> Result<Option<ManifestContent>, MirrorError> {
        let repository = &fetch.repository;
        let digest = match &fetch.reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => {
                match self.tag_since(repository, tag, fetch.seen.as_ref()).await? {
                    Some(row) => row.told.unwrap_or(row.target).digest,
                    None => return Ok(None),
                }
            }
        };
        let here = self.manifest_here(repository, &digest).await?;
        Ok(here.map(|(content, _)| content))
    }

    async fn get_or_adopt(&self, fetch: &Fetch) -> Result<(ManifestContent, Outcome), MirrorError> {
        let Fetch {
            client,
            repository,
            reference,
            ..
        } = fetch;
        if let Reference::Digest(digest) = reference
            && let Some(adopted) = self.adopt(client, repository, digest).await?
        {
            return Ok((adopted, Outcome::Hit));
        }
        self.get_from_remote(client, repository, reference).await
    }

    /// Asks the remote for the whole manifest and keeps it, if there is room.
    pub(super) async fn get_from_remote(
        &self,
        client: &RegistryClient,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(ManifestContent, Outcome), MirrorError> {
        // Of two answers about a tag the one that was asked for later counts.
        let asked_at = SystemTime::now();
        let fetched = client
            .manifest_get(&repository.remote_name, reference, Patience::Full)
            .await?;
        let RemoteManifest {
            bytes,
            media_type,
            digest,
        } = fetched;
        let content = ManifestContent {
            digest,
            media_type,
            bytes,
        };
        let tag = match reference {
            Reference::Tag(tag) => Some((tag.clone(), asked_at)),
            Reference::Digest(_) => None,
        };
        let kept = self.keep(repository, &content, tag).await;
        tracing::info!(repository = %repository.name, %reference, digest = %content.digest, remote = client.remote().name, "fetched a manifest");
        let outcome = if kept { Outcome::Miss } else { Outcome::Bypass };
        Ok((content, outcome))
    }

    /// A manifest that is here for another repository becomes visible in this one, if this one has a right of its own:
    /// an index of its own names what is no secret, or its own remote says that it is there. Nothing is downloaded.
    async fn adopt(
        &self,
        client: &RegistryClient,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<ManifestContent>, MirrorError> {
        let Some(bytes) = self.manifest_bytes(digest).await? else {
            return Ok(None);
        };
        let named = self
            .inner
            .meta
            .manifest_referenced(&repository.name, digest)
            .await?;
        let open = self.is_open_to(repository, digest).await?;
        let named = named.filter(|named| open && !named.media_type.is_empty());
        let media_type = if let Some(named) = named {
            named.media_type
        } else {
            let reference = Reference::Digest(digest.clone());
            let head = client
                .manifest_head(&repository.remote_name, &reference, Patience::Full)
                .await?;
            let own = || Manifest::parse(&bytes).media_type;
            let known = |said: &String| ManifestKind::of(said) != ManifestKind::Other;
            let said = head.media_type.clone().filter(known);
            let Some(media_type) = said.or_else(own).or(head.media_type) else {
                return Ok(None);
            };
            media_type
        };
        let content = ManifestContent {
            digest: digest.clone(),
            media_type,
            bytes,
        };
        self.keep(repository, &content, None).await;
        Ok(Some(content))
    }

    /// Keeps bytes and rows of a manifest. One that cannot be kept is served all the same.
    async fn keep(
        &self,
        repository: &Repository,
        content: &ManifestContent,
        tag: Option<(Tag, SystemTime)>,
    ) -> bool {
        let ManifestContent { digest, bytes, .. } = content;
        let keep = async {
            let put = self
                .inner
                .fills
                .put(&repository.name, digest, bytes.clone());
            let Some(put) = put.await? else {
                tracing::warn!(repository = %repository.name, %digest, "there is no room for a manifest; it is passed on");
                return Ok(false);
            };
            if let Err(error) = self.commit(repository, content, tag).await {
                put.take_back().await;
                return Err(error);
            }
            put.settle().await;
            Ok(true)
        };
        keep.await.unwrap_or_else(|error: MirrorError| {
            tracing::error!(repository = %repository.name, %digest, %error, "cannot keep a manifest");
            false
        })
    }

    async fn commit(
        &self,
        repository: &Repository,
        content: &ManifestContent,
        tag: Option<(Tag, SystemTime)>,
    ) -> Result<(), MirrorError> {
        let commit = ManifestCommit {
            repository: repository.name.clone(),
            digest: content.digest.clone(),
            media_type: content.media_type.clone(),
            size_bytes: content.bytes.len() as u64,
            manifest: Manifest::parse(&content.bytes),
            tag,
        };
        self.inner.meta.manifest_commit(commit).await?;
        // There is something to list now.
        let tags = Thing::List(ListKey::Tags(repository.name.clone()));
        self.inner.absences.forget(&tags).await;
        Ok(())
    }
}
