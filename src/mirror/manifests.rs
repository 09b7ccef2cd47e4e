//! Manifests by digest and by tag.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt;

use super::{
    Answer, Mirror, MirrorError, Outcome, Repository,
    absent::Thing,
    freshness::{Standing, age_of, may_be_stale_for},
    tags::{Checked, standing_of},
};
use crate::{
    client::{Patience, RegistryClient},
    meta::TagRow,
    oci::{Digest, Reference, Tag},
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

    pub(super) async fn manifest_by_digest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        if let Some((content, created_at)) = self.manifest_here(repository, digest).await? {
            return Ok(here(content, created_at, Outcome::Hit));
        }
        let reference = Reference::Digest(digest.clone());
        self.fetch_missing(repository, &reference, None, Patience::Full)
            .await
    }

    async fn manifest_by_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        let Some(row) = self.inner.meta.tag(&repository.name, tag).await? else {
            let reference = Reference::Tag(tag.clone());
            let fetch = self.fetch_missing(repository, &reference, None, Patience::Full);
            return fetch.await;
        };
        let pulled = self.manifest_here(repository, &row.target.digest).await?;
        let Some((content, created_at)) = pulled else {
            return self.manifest_of_row(repository, tag, row).await;
        };
        let pulled = here(content, created_at, Outcome::Hit);
        // Since when it is known that what was pulled is not the newest; if this check finds out, just now.
        let moved_at = row.told.as_ref().map(|_| row.checked_at);
        let checked = self.check_tag(repository, tag, row).await?;
        if checked.summary.digest == pulled.content.digest {
            return Ok(checked.dress(pulled));
        }
        let staleness = moved_at.map_or(Duration::ZERO, |at| age_of(at, SystemTime::now()));
        let may_be_stale = may_be_stale_for(repository.project.freshness_of(tag), staleness);
        let patience = match may_be_stale {
            true => Patience::Short,
            false => Patience::Full,
        };
        let digest = &checked.summary.digest;
        match self.manifest_told(repository, tag, digest, patience).await {
            Ok(answer) => Ok(checked.dress(answer)),
            Err(error) if !may_be_stale => Err(error),
            Err(error) if error.is_answer() && !repository.project.keep_deleted => Err(error),
            // The tag moved, but what it points to now cannot be had: what was pulled still pulls.
            Err(error) => {
                tracing::warn!(repository = %repository.name, %tag, %error, "the tag moved and its new manifest cannot be had");
                Ok(Answer {
                    outcome: Outcome::Stale,
                    ..pulled
                })
            }
        }
    }

    /// Of a tag that was only asked for by HEAD, or whose manifest's file is gone.
    async fn manifest_of_row(
        &self,
        repository: &Repository,
        tag: &Tag,
        row: TagRow,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        let is_fresh = standing_of(repository, tag, &row) == Standing::Fresh;
        if is_fresh || row.told.is_some() || self.client(repository).is_none() {
            let checked = self.check_tag(repository, tag, row).await?;
            let digest = &checked.summary.digest;
            let answer = self.manifest_told(repository, tag, digest, Patience::Full);
            return Ok(checked.dress(answer.await?));
        }
        // One GET in place of a HEAD and a GET.
        let reference = Reference::Tag(tag.clone());
        let fetched = self
            .fetch_missing(repository, &reference, Some(row.clone()), Patience::Full)
            .await;
        if let Err(error) = &fetched {
            self.note_absence(repository, tag, &row, error).await?;
        }
        fetched
    }

    /// The manifest that a tag points to, as the remote told. One that it does not have was told of wrongly, by a replica
    /// that is behind, or before the tag moved again: what it has under the tag is its answer then.
    async fn manifest_told(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
        patience: Patience,
    ) -> Result<Answer<ManifestContent>, MirrorError> {
        if let Some((content, created_at)) = self.manifest_here(repository, digest).await? {
            return Ok(here(content, created_at, Outcome::Hit));
        }
        let by_digest = Reference::Digest(digest.clone());
        let fetched = self.fetch_missing(repository, &by_digest, None, patience);
        match fetched.await {
            Err(MirrorError::NotFound(_)) => {}
            answer => return answer,
        }
        tracing::warn!(repository = %repository.name, %tag, %digest, "the remote told of a manifest that it does not have; it is asked for the tag's");
        let by_tag = Reference::Tag(tag.clone());
        // It told of the tag since.
        let thing = Thing::Manifest(repository.name.clone(), by_tag.clone());
        self.inner.absences.forget(&thing).await;
        let row = self.inner.meta.tag(&repository.name, tag).await?;
        let fetched = self.fetch_missing(repository, &by_tag, row.clone(), patience);
        let fetched = fetched.await;
        if let (Err(error), Some(row)) = (&fetched, &row) {
            self.note_absence(repository, tag, row, error).await?;
        }
        fetched
    }

    async fn head_by_digest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer<ManifestSummary>, MirrorError> {
        let meta = &self.inner.meta;
        if let Some(row) = meta.manifest(&repository.name, digest).await? {
            let content = ManifestSummary {
                digest: row.digest,
                media_type: row.media_type,
                size_bytes: row.size_bytes,
            };
            return Ok(here(content, row.created_at, Outcome::Hit));
        }
        let named = meta.manifest_referenced(&repository.name, digest).await?;
        if let Some(named) = named
            && let Some(size_bytes) = named.size_bytes
            && !named.media_type.is_empty()
        {
            return Ok(Answer {
                content: ManifestSummary {
                    digest: digest.clone(),
                    media_type: named.media_type,
                    size_bytes,
                },
                outcome: Outcome::Hit,
                age: None,
            });
        }
        if let Some(answer) = self.ask_for_manifest(repository, digest).await? {
            return Ok(answer);
        }
        let reference = Reference::Digest(digest.clone());
        let answer = self.fetch_missing(repository, &reference, None, Patience::Full);
        let answer = answer.await?;
        Ok(Answer {
            content: (&answer.content).into(),
            outcome: answer.outcome,
            age: answer.age,
        })
    }

    /// One HEAD at the remote, however many ask. `None`: it left out what must be known.
    async fn ask_for_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Answer<ManifestSummary>>, MirrorError> {
        let reference = Reference::Digest(digest.clone());
        let thing = Thing::Manifest(repository.name.clone(), reference);
        let client = self.client_for(repository, &thing).await?;
        self.inner.absences.check(&thing).await?;
        let key = (repository.name.clone(), digest.clone());
        let (mirror, repository, digest) = (self.clone(), repository.clone(), digest.clone());
        let ask = async move {
            let ttl = repository.project.negative_ttl;
            let head = head_alone(&client, &repository, &digest);
            mirror.inner.absences.learn(thing, ttl, head.boxed()).await
        };
        let flights = &self.inner.manifest_heads;
        let (result, seat) = flights.run(key, ask.boxed()).await;
        Ok(result?.map(|content| Answer {
            content,
            outcome: seat.outcome(Outcome::Miss),
            age: None,
        }))
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
        let here = self.summary_here(repository, &summary.digest).await?;
        Ok(Answer {
            content: here.unwrap_or(summary),
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
}

async fn head_alone(
    client: &RegistryClient,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<ManifestSummary>, MirrorError> {
    let reference = Reference::Digest(digest.clone());
    let head = client
        .manifest_head(&repository.remote_name, &reference, Patience::Full)
        .await?;
    // A remote that does not confirm the digest may be talking of anything.
    let (Some(media_type), Some(size_bytes), Some(confirmed)) =
        (head.media_type, head.size_bytes, head.digest)
    else {
        return Ok(None);
    };
    Ok((confirmed == *digest).then(|| ManifestSummary {
        digest: digest.clone(),
        media_type,
        size_bytes,
    }))
}

/// Something that came at that time.
fn here<T>(content: T, came_at: SystemTime, outcome: Outcome) -> Answer<T> {
    Answer {
        content,
        outcome,
        age: Some(age_of(came_at, SystemTime::now())),
    }
}
