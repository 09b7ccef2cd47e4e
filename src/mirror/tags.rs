//! What a tag points to now: from the row while that may be served, else by one HEAD at the remote.

use std::time::{Duration, SystemTime};

use futures_util::FutureExt;

use super::{
    Answer, ManifestSummary, Mirror, MirrorError, Outcome, Repository,
    absent::Thing,
    dial::is_scarce,
    fetch::Fetch,
    freshness::{Standing, age_of, may_be_stale, standing},
};
use crate::{
    client::{ManifestHead, Patience, RegistryClient},
    meta::TagRow,
    oci::{Digest, Reference, Tag},
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
    /// What the remote last said, lately enough.
    fn unasked(row: TagRow, age: Duration) -> Self {
        Self {
            summary: row.told.unwrap_or(row.target),
            outcome: Outcome::Hit,
            age: Some(age),
        }
    }

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
    /// What the tag of this row points to: the row while it may be served, else the remote's word, else (the remote is
    /// down) the row again, marked stale.
    pub(super) async fn check_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        row: TagRow,
    ) -> Result<Checked, MirrorError> {
        let age = age_of(row.checked_at, SystemTime::now());
        if let Some(answer) = self.absence_since(repository, tag, &row).await {
            return if repository.project.keep_deleted {
                Ok(Checked::stale(row, age))
            } else {
                Err(answer)
            };
        }
        let standing = standing_of(repository, tag, &row);
        if standing == Standing::Fresh {
            return Ok(Checked::unasked(row, age));
        }
        let Some(client) = self.client(repository) else {
            return Ok(Checked::stale(row, age));
        };
        if standing == Standing::Lapsing {
            self.revalidate(&client, repository, tag, row.clone());
            return Ok(Checked::unasked(row, age));
        }
        let may_be_stale = may_be_stale(repository.project.freshness_of(tag), age);
        if is_scarce(&client) && may_be_stale {
            return Ok(Checked::stale(row, age));
        }
        let asked = if may_be_stale {
            self.ask_in_time(client, repository, tag, &row).await
        } else {
            let seen = Some(row.clone());
            self.ask(client, repository, tag, seen, Patience::Full)
                .await
        };
        match asked {
            Err(error) if error.is_answer() => {
                self.note_absence(repository, tag, &row, &error).await?;
                if repository.project.keep_deleted {
                    return Ok(Checked::stale(row, age));
                }
                Err(error)
            }
            Err(error) if may_be_stale => {
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
        let client = self.client_for(repository, &thing(repository, tag)).await?;
        self.ask(client, repository, tag, None, Patience::Full)
            .await
    }

    /// The remote's word that the tag is gone, or is not for us, if it said so after it had confirmed the row.
    pub(super) async fn absence_since(
        &self,
        repository: &Repository,
        tag: &Tag,
        row: &TagRow,
    ) -> Option<MirrorError> {
        let absence = self.inner.absences.get(&thing(repository, tag)).await?;
        (absence.asked_at > row.checked_at).then_some(absence.answer)
    }

    /// A tag that is gone loses its row, unless the project keeps it or what it points to was pushed here. What a remote hides from us (401, 403) may come
    /// back: its row stays, and is not served while the remote says so.
    pub(super) async fn note_absence(
        &self,
        repository: &Repository,
        tag: &Tag,
        row: &TagRow,
        error: &MirrorError,
    ) -> Result<(), MirrorError> {
        let is_gone = matches!(error, MirrorError::NotFound(_));
        if !is_gone || repository.project.keep_deleted {
            return Ok(());
        }
        let newer = self.tag_since(repository, tag, Some(row)).await?;
        if newer.is_none()
            && !self.is_seeded(repository, &row.target.digest).await?
            && let Err(error) = self.inner.meta.tag_delete(&repository.name, tag).await
        {
            tracing::error!(repository = %repository.name, %tag, %error, "cannot delete the row of a tag that is gone");
        }
        Ok(())
    }

    /// Was this manifest pushed here? Its tag outlives what the remote says of it.
    async fn is_seeded(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, MirrorError> {
        let held = self.inner.meta.manifest_held(&repository.name, digest);
        Ok(held.await?.is_some_and(|held| held.seeded))
    }

    /// One HEAD at the remote, however many ask.
    pub(super) async fn ask(
        &self,
        client: RegistryClient,
        repository: &Repository,
        tag: &Tag,
        row: Option<TagRow>,
        patience: Patience,
    ) -> Result<Checked, MirrorError> {
        if row.is_none() {
            let thing = thing(repository, tag);
            self.inner.absences.check(&thing).await?;
        }
        let fetch = Fetch {
            client,
            repository: repository.clone(),
            reference: Reference::Tag(tag.clone()),
            seen: row,
        };
        let (mirror, question, asked) = (self.clone(), fetch.clone(), tag.clone());
        let ask = async move { mirror.ask_alone(&question, &asked, patience).await };
        let key = (repository.name.clone(), tag.clone());
        let (result, seat) = self.inner.tag_checks.run(key, ask.boxed()).await;
        if let Some(checked) = result? {
            return Ok(Checked {
                outcome: seat.outcome(checked.outcome),
                ..checked
            });
        }
        // A remote that leaves out the digest, the size or the type can only be asked for the whole.
        let answer = self.fetch_manifest(fetch, Patience::Full).await?;
        Ok(Checked {
            summary: (&answer.content).into(),
            outcome: answer.outcome,
            age: None,
        })
    }

    /// `None`: what the remote left out must be learned from the whole manifest.
    async fn ask_alone(
        &self,
        question: &Fetch,
        tag: &Tag,
        patience: Patience,
    ) -> Result<Option<Checked>, MirrorError> {
        let Fetch {
            client,
            repository,
            seen,
            ..
        } = question;
        if let Some(known) = self.checked_since(question, tag).await? {
            return Ok(Some(known));
        }
        let turn = self.turn(repository, &question.reference, seen.is_some());
        let turn = turn.await;
        if turn.has_others
            && let Some(known) = self.checked_since(question, tag).await?
        {
            return Ok(Some(known));
        }
        self.head_tag(client, repository, tag, patience).await
    }

    async fn checked_since(
        &self,
        question: &Fetch,
        tag: &Tag,
    ) -> Result<Option<Checked>, MirrorError> {
        let row = self.tag_since(&question.repository, tag, question.seen.as_ref());
        Ok(row.await?.map(|row| Checked {
            summary: row.told.unwrap_or(row.target),
            outcome: Outcome::Hit,
            age: None,
        }))
    }

    /// Asks the remote, whatever is known, and writes down what it says.
    pub(super) async fn head_tag(
        &self,
        client: &RegistryClient,
        repository: &Repository,
        tag: &Tag,
        patience: Patience,
    ) -> Result<Option<Checked>, MirrorError> {
        let row = self.inner.meta.tag(&repository.name, tag).await?;
        let reference = Reference::Tag(tag.clone());
        let asked_at = SystemTime::now();
        let head = async {
            let head = client.manifest_head(&repository.remote_name, &reference, patience);
            Ok(head.await?)
        };
        let ttl = repository.project.negative_ttl;
        let absences = &self.inner.absences;
        let head = absences.learn(thing(repository, tag), ttl, head.boxed());
        let head = head.await?;
        let here = match &head.digest {
            Some(digest) => self.summary_here(repository, digest).await?,
            None => None,
        };
        let is_here = here.is_some();
        let Some(summary) = here.or_else(|| complete(row.as_ref(), head)) else {
            return Ok(None);
        };
        let unchanged = row
            .as_ref()
            .is_some_and(|row| row.target.digest == summary.digest);
        let next = next_row(row, summary.clone(), is_here, asked_at);
        let written = self.inner.meta.tag_put(&repository.name, tag, next);
        if let Err(error) = written.await {
            // On a full disk the remote's word is good all the same.
            tracing::error!(repository = %repository.name, %tag, %error, "cannot write the row of a tag");
        }
        let outcome = if unchanged {
            Outcome::Hit
        } else {
            Outcome::Miss
        };
        Ok(Some(Checked {
            summary,
            outcome,
            age: None,
        }))
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

    /// Of a manifest that is here. It was verified, and says more of itself than a HEAD of it does.
    pub(super) async fn summary_here(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<ManifestSummary>, MirrorError> {
        let row = self.inner.meta.manifest(&repository.name, digest).await?;
        Ok(row.map(|row| ManifestSummary {
            digest: row.digest,
            media_type: row.media_type,
            size_bytes: row.size_bytes,
        }))
    }
}

/// The row after what the remote said. A tag that was pulled keeps what it pointed to until the new manifest is here: an
/// outage in between must not lose what still pulls.
fn next_row(
    row: Option<TagRow>,
    said: ManifestSummary,
    is_here: bool,
    checked_at: SystemTime,
) -> TagRow {
    match row {
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

fn thing(repository: &Repository, tag: &Tag) -> Thing {
    Thing::Manifest(repository.name.clone(), Reference::Tag(tag.clone()))
}

pub(super) fn standing_of(repository: &Repository, tag: &Tag, row: &TagRow) -> Standing {
    let rule = repository.project.freshness_of(tag);
    standing(
        rule,
        &(&repository.name, tag),
        row.checked_at,
        SystemTime::now(),
    )
}
