//! Manifests by digest and by tag.

use std::time::SystemTime;

use bytes::Bytes;

use futures_util::FutureExt;

use super::{
    Answer, Mirror, MirrorError, Outcome, Repository,
    freshness::age_of,
    tags::{Checked, row_is_fresh},
};
use crate::{
    client::{Patience, RegistryClient, RemoteManifest},
    meta::{ManifestCommit, TagRow},
    oci::{Digest, Manifest, Reference, Tag, media_type},
};

pub use crate::meta::ManifestSummary;

/// A manifest as it is: its bytes are never altered.
#[derive(Debug, Clone)]
pub struct ManifestContent {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

impl From<&ManifestContent> for ManifestSummary {
    fn from(content: &ManifestContent) -> Self {
        Self {
            digest: content.digest.clone(),
            media_type: content.media_type.clone(),
            size_bytes: content.bytes.len() as u64,
        }
    }
}

impl Mirror {
    /// Answers `GET manifests/<reference>`.
    pub async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        let answer = match reference {
            Reference::Digest(digest) => self.manifest_by_digest(repository, digest).await,
            Reference::Tag(tag) => self.manifest_by_tag(repository, tag).await,
        }?;
        self.inner
            .meta
            .uses()
            .note(&repository.name, &answer.content.digest);
        Ok(answer)
    }

    /// Answers `HEAD manifests/<reference>`.
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Answer<ManifestSummary>, MirrorError> {
        match reference {
            Reference::Digest(digest) => self.head_by_digest(repository, digest).await,
            Reference::Tag(tag) => self.head_by_tag(repository, tag).await,
        }
    }

    async fn manifest_by_digest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        if let Some((content, created_at)) = self.manifest_here(repository, digest).await? {
            let age = Some(age_of(created_at, SystemTime::now()));
            return Ok(Answer {
                content,
                outcome: Outcome::Hit,
                age,
            });
        }
        self.fetch_manifest(repository, &Reference::Digest(digest.clone()), None)
            .await
    }

    async fn manifest_by_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        let Some(row) = self.inner.meta.tag(&repository.name, tag).await? else {
            return self
                .fetch_manifest(repository, &Reference::Tag(tag.clone()), None)
                .await;
        };
        let here = self.manifest_here(repository, &row.target.digest).await?;
        if here.is_none() && row.told.is_none() && !row_is_fresh(repository, tag, &row) {
            return self
                .fetch_manifest(repository, &Reference::Tag(tag.clone()), Some(row))
                .await;
        }
        let checked = self.check_tag(repository, tag, row).await?;
        let fetched = self
            .manifest_by_digest(repository, &checked.summary.digest)
            .await;
        match (fetched, here) {
            (Ok(answer), _) => Ok(checked.dress(answer)),
            // The tag moved, but what it points to now cannot be had: what was pulled still pulls.
            (Err(error), Some((content, created_at))) if !error.is_answer() => {
                tracing::warn!(repository = %repository.name, %tag, %error, "the tag moved and its new manifest cannot be had");
                let age = Some(age_of(created_at, SystemTime::now()));
                Ok(Answer {
                    content,
                    outcome: Outcome::Stale,
                    age,
                })
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn head_by_digest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer<ManifestSummary>, MirrorError> {
        if let Some(row) = self.inner.meta.manifest(&repository.name, digest).await? {
            let age = Some(age_of(row.created_at, SystemTime::now()));
            let content = ManifestSummary {
                digest: row.digest,
                media_type: row.media_type,
                size_bytes: row.size_bytes,
            };
            return Ok(Answer {
                content,
                outcome: Outcome::Hit,
                age,
            });
        }
        if let Some(named) = self
            .inner
            .meta
            .manifest_referenced(&repository.name, digest)
            .await?
            && let Some(size_bytes) = named.size_bytes
            && !named.media_type.is_empty()
        {
            let content = ManifestSummary {
                digest: digest.clone(),
                media_type: named.media_type,
                size_bytes,
            };
            return Ok(Answer {
                content,
                outcome: Outcome::Hit,
                age: None,
            });
        }
        let client = self.client_for(repository, digest)?;
        let reference = Reference::Digest(digest.clone());
        let head = client
            .manifest_head(&repository.remote_name, &reference, Patience::Full)
            .await?;
        // A remote that does not confirm the digest may be talking of anything.
        if let (Some(media_type), Some(size_bytes), Some(confirmed)) =
            (head.media_type, head.size_bytes, head.digest)
            && confirmed == *digest
        {
            let content = ManifestSummary {
                digest: digest.clone(),
                media_type,
                size_bytes,
            };
            return Ok(Answer {
                content,
                outcome: Outcome::Miss,
                age: None,
            });
        }
        let answer = self.fetch_manifest(repository, &reference, None).await?;
        Ok(Answer {
            content: (&answer.content).into(),
            outcome: answer.outcome,
            age: answer.age,
        })
    }

    async fn head_by_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Answer<ManifestSummary>, MirrorError> {
        let checked = match self.inner.meta.tag(&repository.name, tag).await? {
            Some(row) => self.check_tag(repository, tag, row).await?,
            None => self.first_check(repository, tag).await?,
        };
        let Checked {
            summary,
            outcome,
            age,
        } = checked;
        Ok(Answer {
            content: summary,
            outcome,
            age,
        })
    }

    /// A manifest that this repository has a row for and whose bytes are here, with the time it came.
    pub(super) async fn manifest_here(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<(ManifestContent, SystemTime)>, MirrorError> {
        let Some(row) = self.inner.meta.manifest(&repository.name, digest).await? else {
            return Ok(None);
        };
        let Some(bytes) = self.manifest_bytes(digest).await? else {
            tracing::warn!(repository = %repository.name, %digest, "a manifest's file is gone; it is fetched anew");
            return Ok(None);
        };
        Ok(Some((
            ManifestContent {
                digest: row.digest,
                media_type: row.media_type,
                bytes,
            },
            row.created_at,
        )))
    }

    /// Gets a manifest from the remote, once however many ask, and keeps it.
    pub(super) async fn fetch_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        seen: Option<TagRow>,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        let client = self.client_for(repository, reference)?;
        let key = (repository.name.clone(), reference.clone());
        let (mirror, repository, reference) = (self.clone(), repository.clone(), reference.clone());
        let fetch = async move {
            // The fetch before this one may have ended after the caller had looked.
            match mirror.come_meanwhile(&repository, &reference, seen).await? {
                Some(content) => Ok((content, Outcome::Hit)),
                None => {
                    mirror
                        .fetch_manifest_alone(&client, &repository, &reference)
                        .await
                }
            }
        };
        let (result, seat) = self.inner.manifest_fetches.run(key, fetch.boxed()).await;
        let (content, outcome) = result?;
        Ok(Answer {
            content,
            outcome: seat.outcome(outcome),
            age: None,
        })
    }

    async fn come_meanwhile(
        &self,
        repository: &Repository,
        reference: &Reference,
        seen: Option<TagRow>,
    ) -> Result<Option<ManifestContent>, MirrorError> {
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => match self.tag_since(repository, tag, seen.as_ref()).await? {
                Some(row) => row.told.unwrap_or(row.target).digest,
                None => return Ok(None),
            },
        };
        let here = self.manifest_here(repository, &digest).await?;
        Ok(here.map(|(content, _)| content))
    }

    async fn fetch_manifest_alone(
        &self,
        client: &RegistryClient,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(ManifestContent, Outcome), MirrorError> {
        if let Reference::Digest(digest) = reference
            && let Some(adopted) = self.adopt(client, repository, digest).await?
        {
            return Ok((adopted, Outcome::Hit));
        }
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
            Reference::Tag(tag) => Some((tag.clone(), SystemTime::now())),
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
            let said = head
                .media_type
                .filter(|said| said != media_type::OCTET_STREAM);
            let Some(media_type) = said.or_else(|| Manifest::parse(&bytes).media_type) else {
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
            self.commit(repository, content, tag).await?;
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
        Ok(self.inner.meta.manifest_commit(commit).await?)
    }
}
