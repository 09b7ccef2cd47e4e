//! What a tag points to now: from the row while it is fresh, else by one HEAD at the remote.

use std::time::{Duration, SystemTime};

use futures_util::FutureExt;

use super::{
    Answer, ManifestSummary, Mirror, MirrorError, Outcome, Repository,
    freshness::{age_of, is_fresh, may_be_stale},
};
use crate::{
    client::{ManifestHead, Patience, RegistryClient},
    meta::TagRow,
    oci::{Reference, Tag},
};

/// What a tag points to, and how that is known.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) summary: ManifestSummary,
    pub(super) outcome: Outcome,
    /// Since the remote last said so; `None` when it said so just now.
    pub(super) age: Option<Duration>,
}

impl Checked {
    /// What was last pulled, although the remote could not be asked.
    fn stale(row: TagRow, age: Duration) -> Self {
        Self {
            summary: row.target,
            outcome: Outcome::Stale,
            age: Some(age),
        }
    }

    /// The answer about a tag: its manifest may be a hit by digest although the tag is stale, or a miss.
    pub(super) fn dress<T>(&self, answer: Answer<T>) -> Answer<T> {
        let outcome = if answer.outcome == Outcome::Hit {
            self.outcome.served_from_here()
        } else {
            answer.outcome
        };
        let age = if matches!(outcome, Outcome::Hit | Outcome::Stale) {
            self.age
        } else {
            None
        };
        Answer {
            content: answer.content,
            outcome,
            age,
        }
    }
}

impl Mirror {
    /// What the tag of this row points to: the row while it is fresh, else the remote's word, else (the remote is
    /// down) the row again, marked stale.
    pub(super) async fn check_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        row: TagRow,
    ) -> Result<Checked, MirrorError> {
        let now = SystemTime::now();
        let age = age_of(row.checked_at, now);
        let rule = repository.project.freshness_of(tag);
        if is_fresh(rule, row.checked_at, now) {
            let summary = row.told.unwrap_or(row.target);
            return Ok(Checked {
                summary,
                outcome: Outcome::Hit,
                age: Some(age),
            });
        }
        let Some(client) = self.client(repository) else {
            return Ok(Checked::stale(row, age));
        };
        match self.ask(client, repository, tag, Some(row.clone())).await {
            Err(error) if error.is_answer() => self.gone(repository, tag, row, error).await,
            Err(error) if may_be_stale(rule, age) => {
                tracing::warn!(repository = %repository.name, %tag, %error, "the remote cannot be asked; the tag is served stale");
                Ok(Checked::stale(row, age))
            }
            answered => answered,
        }
    }

    /// A tag that nobody asked for before.
    pub(super) async fn first_check(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Checked, MirrorError> {
        let client = self.client_for(repository, tag)?;
        self.ask(client, repository, tag, None).await
    }

    /// The remote says that the tag is gone (or hides it): an answer, not an outage.
    async fn gone(
        &self,
        repository: &Repository,
        tag: &Tag,
        row: TagRow,
        error: MirrorError,
    ) -> Result<Checked, MirrorError> {
        if repository.project.keep_deleted {
            let age = age_of(row.checked_at, SystemTime::now());
            return Ok(Checked::stale(row, age));
        }
        if matches!(error, MirrorError::NotFound(_)) {
            self.inner.meta.tag_delete(&repository.name, tag).await?;
        }
        Err(error)
    }

    /// One HEAD at the remote, however many ask.
    async fn ask(
        &self,
        client: RegistryClient,
        repository: &Repository,
        tag: &Tag,
        row: Option<TagRow>,
    ) -> Result<Checked, MirrorError> {
        let key = (repository.name.clone(), tag.clone());
        let (mirror, repository, tag) = (self.clone(), repository.clone(), tag.clone());
        let ask = async move { mirror.ask_alone(&client, &repository, &tag, row).await };
        let (result, seat) = self.inner.tag_checks.run(key, ask.boxed()).await;
        let checked = result?;
        Ok(Checked {
            outcome: seat.outcome(checked.outcome),
            ..checked
        })
    }

    async fn ask_alone(
        &self,
        client: &RegistryClient,
        repository: &Repository,
        tag: &Tag,
        row: Option<TagRow>,
    ) -> Result<Checked, MirrorError> {
        if let Some(row) = self.tag_since(repository, tag, row.as_ref()).await? {
            return Ok(Checked {
                summary: row.told.unwrap_or(row.target),
                outcome: Outcome::Hit,
                age: None,
            });
        }
        let patience = if row.is_some() {
            Patience::Short
        } else {
            Patience::Full
        };
        let reference = Reference::Tag(tag.clone());
        let head = client
            .manifest_head(&repository.remote_name, &reference, patience)
            .await?;
        let Some(summary) = complete(row.as_ref(), head) else {
            // A remote that leaves out the digest, the size or the type can only be asked for the whole.
            let answer = self.fetch_manifest(repository, &reference, row).await?;
            return Ok(Checked {
                summary: (&answer.content).into(),
                outcome: answer.outcome,
                age: None,
            });
        };
        let unchanged = row
            .as_ref()
            .is_some_and(|row| row.target.digest == summary.digest);
        self.note(repository, tag, row, summary.clone()).await?;
        let outcome = if unchanged {
            Outcome::Hit
        } else {
            Outcome::Miss
        };
        Ok(Checked {
            summary,
            outcome,
            age: None,
        })
    }

    /// The tag's row if the remote was asked since it was `seen`: by a question that ended just before this one began.
    pub(super) async fn tag_since(
        &self,
        repository: &Repository,
        tag: &Tag,
        seen: Option<&TagRow>,
    ) -> Result<Option<TagRow>, MirrorError> {
        let row = self.inner.meta.tag(&repository.name, tag).await?;
        Ok(row.filter(|row| Some(row) != seen))
    }

    /// Writes down what the remote said. A tag that was pulled keeps what it pointed to until the new manifest is here:
    /// an outage in between must not lose what still pulls.
    async fn note(
        &self,
        repository: &Repository,
        tag: &Tag,
        row: Option<TagRow>,
        said: ManifestSummary,
    ) -> Result<(), MirrorError> {
        let checked_at = SystemTime::now();
        let is_here = self
            .inner
            .meta
            .manifest(&repository.name, &said.digest)
            .await?
            .is_some();
        let next = match row {
            Some(row) if row.target.digest != said.digest && !is_here => TagRow {
                told: Some(said),
                checked_at,
                ..row
            },
            _ => TagRow {
                target: said,
                told: None,
                checked_at,
            },
        };
        Ok(self.inner.meta.tag_put(&repository.name, tag, next).await?)
    }
}

/// What a HEAD told; the row completes what it left out about an unchanged digest. `None`: the whole must be asked for.
fn complete(row: Option<&TagRow>, head: ManifestHead) -> Option<ManifestSummary> {
    let digest = head.digest?;
    if let (Some(media_type), Some(size_bytes)) = (head.media_type, head.size_bytes) {
        return Some(ManifestSummary {
            digest,
            media_type,
            size_bytes,
        });
    }
    row.map(|row| &row.target)
        .filter(|target| target.digest == digest)
        .cloned()
}

pub(super) fn row_is_fresh(repository: &Repository, tag: &Tag, row: &TagRow) -> bool {
    let rule = repository.project.freshness_of(tag);
    is_fresh(rule, row.checked_at, SystemTime::now())
}
