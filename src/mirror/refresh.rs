//! Asking a remote about a tag that is here before anybody has to wait for it: behind an answer that was given.

use futures_util::FutureExt;

use super::{Mirror, MirrorError, Repository, dial::is_scarce, fetch::Fetch};
use crate::{
    client::{Patience, RegistryClient},
    meta::TagRow,
    oci::{Digest, Reference, Tag},
};

impl Mirror {
    /// Asks behind an answer that was given, one question at a time for a tag, and brings the manifest if the tag has
    /// moved, so that the next answer is the new one. Left for another time when the rate budget is low.
    pub(super) fn revalidate(
        &self,
        client: &RegistryClient,
        repository: &Repository,
        tag: &Tag,
        row: TagRow,
    ) {
        if is_scarce(client) {
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
        let asked = self.ask(client.clone(), repository, tag, Some(row.clone()));
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
