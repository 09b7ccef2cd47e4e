//! Asking a remote about a tag that is here while nobody has to wait for it: behind an answer that was given, or when
//! somebody who runs this server says so.

use futures_util::FutureExt;

use super::{
    Entry, EntryState, Mirror, MirrorError, Repository,
    absent::Thing,
    dial::{in_time, is_scarce},
    fetch::Fetch,
    tags::Checked,
};
use crate::{
    client::{Patience, Presence, RegistryClient},
    meta::TagRow,
    oci::{Digest, Reference, Tag},
};

impl Mirror {
    /// As `ask`, for who can be given what this row says: a remote that does not answer soon is heard behind that answer.
    pub(super) async fn ask_in_time(
        &self,
        client: RegistryClient,
        repository: &Repository,
        tag: &Tag,
        row: &TagRow,
    ) -> Result<Checked, MirrorError> {
        let seen = Some(row.clone());
        let asked = self.ask(client.clone(), repository, tag, seen, Patience::Short);
        let behind = || self.revalidate(&client, repository, tag, row.clone());
        in_time(&client, asked, behind).await
    }

    /// Asks behind an answer that was given, one question at a time for a tag, and brings the manifest if the tag has
    /// moved, so that the next answer is the new one. Left for another time when the rate budget is low or nobody is there.
    pub(super) fn revalidate(
        &self,
        client: &RegistryClient,
        repository: &Repository,
        tag: &Tag,
        row: TagRow,
    ) {
        if is_scarce(client) || client.presence() == Presence::Gone {
            return;
        }
        let client = client.background();
        let key = (repository.name.clone(), tag.clone());
        let (mirror, repository, tag) = (self.clone(), repository.clone(), tag.clone());
        let run = async move {
            let done = mirror
                .revalidate_alone(client, &repository, &tag, row)
                .await;
            if let Err(error) = &done {
                tracing::warn!(repository = %repository.name, %tag, %error, "a tag that was served could not be revalidated");
            }
            done
        };
        self.inner.tag_revalidations.start(key, run.boxed());
    }

    async fn revalidate_alone(
        &self,
        client: RegistryClient,
        repository: &Repository,
        tag: &Tag,
        row: TagRow,
    ) -> Result<(), MirrorError> {
        let seen = Some(row.clone());
        let asked = self.ask(client.clone(), repository, tag, seen, Patience::Short);
        match asked.await {
            Ok(checked) => {
                self.bring(client, repository, &checked.summary.digest)
                    .await
            }
            Err(error) if error.is_answer() => {
                self.note_absence(repository, tag, &row, &error).await
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the remote about a tag now, whatever its freshness and whatever is remembered, and brings what it points to.
    ///
    /// # Errors
    /// What a pull would be told: `NotFound` (the tag is forgotten then) and `Refused`, unless the project keeps what is
    /// deleted; `Unavailable` and the like when the remote cannot be asked, with all left as it was.
    pub async fn refresh(&self, repository: &Repository, tag: &Tag) -> Result<Entry, MirrorError> {
        let reference = Reference::Tag(tag.clone());
        let thing = Thing::Manifest(repository.name.clone(), reference.clone());
        let client = self.client_for(repository, &thing).await?;
        self.inner.absences.forget(&thing).await;
        let row = self.inner.meta.tag(&repository.name, tag).await?;
        let asked = self.ask_now(client, repository, tag, row.as_ref()).await;
        let state = match (asked, row) {
            (Ok(()), _) => None,
            (Err(error), Some(row)) if error.is_answer() => {
                self.note_absence(repository, tag, &row, &error).await?;
                if !repository.project.keep_deleted {
                    return Err(error);
                }
                Some(EntryState::Stale)
            }
            (Err(error), _) => return Err(error),
        };
        let entry = self.entry(repository, &reference).await?;
        let entry = entry.ok_or_else(|| MirrorError::Unavailable {
            message: format!("{thing} cannot be kept now"),
            retry_after: None,
        })?;
        Ok(match state {
            Some(state) => Entry { state, ..entry },
            None => entry,
        })
    }

    /// Joins no question that is under way: it may have begun before the change that this is about.
    async fn ask_now(
        &self,
        client: RegistryClient,
        repository: &Repository,
        tag: &Tag,
        row: Option<&TagRow>,
    ) -> Result<(), MirrorError> {
        let place = self.inner.gate.enter().await?;
        let checked = match row {
            Some(_) => {
                self.head_tag(&client, repository, tag, Patience::Full)
                    .await?
            }
            None => None,
        };
        let Some(checked) = checked else {
            let reference = Reference::Tag(tag.clone());
            let get = self.get_from_remote(&client, repository, &reference);
            return get.await.map(drop);
        };
        drop(place);
        self.bring(client, repository, &checked.summary.digest)
            .await
    }

    /// Fetches a manifest unless it is here.
    async fn bring(
        &self,
        client: RegistryClient,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), MirrorError> {
        if self.manifest_here(repository, digest).await?.is_some() {
            return Ok(());
        }
        let fetch = Fetch {
            client,
            repository: repository.clone(),
            reference: Reference::Digest(digest.clone()),
            seen: None,
        };
        self.fetch_manifest(fetch, Patience::Full).await.map(drop)
    }
}
