//! Tag lists and referrers: fetched whole from the remote, kept for the ttl, given stale in outages.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Serialize, de::DeserializeOwned};

use futures_util::FutureExt;

use super::{
    Answer, Mirror, MirrorError, Outcome, Repository,
    freshness::{age_of, is_within},
};
use crate::{
    client::{Patience, RegistryClient},
    meta::{ListKind, ListRow},
    oci::{Descriptor, Digest, Name, Tag},
};

/// The body of an empty list.
const NO_ENTRIES: &str = "[]";

/// One list of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ListKey {
    Tags(Name),
    Referrers(Name, Digest),
}

impl ListKey {
    fn repository(&self) -> &Name {
        match self {
            Self::Tags(name) | Self::Referrers(name, _) => name,
        }
    }

    /// As the rows have it.
    fn row_key(&self) -> (ListKind, String) {
        match self {
            Self::Tags(_) => (ListKind::Tags, String::new()),
            Self::Referrers(_, subject) => (ListKind::Referrers, subject.to_string()),
        }
    }
}

impl Mirror {
    /// All tags, sorted as bytes: the remote's list, and what was learned since it was fetched.
    pub async fn list_tags(
        &self,
        repository: &Repository,
    ) -> Result<Answer<Arc<[Tag]>>, MirrorError> {
        let key = ListKey::Tags(repository.name.clone());
        let learned = self.inner.meta.tags(&repository.name).await?;
        let (row, outcome, age) = match self.list(repository, &key).await {
            Ok(list) => list,
            Err(error) if error.is_answer() || learned.is_empty() => return Err(error),
            // Never listed before the outage: the tags that were pulled are what there is.
            Err(_) => (
                ListRow {
                    body: NO_ENTRIES.into(),
                    fetched_at: SystemTime::UNIX_EPOCH,
                },
                Outcome::Stale,
                None,
            ),
        };
        let mut tags: BTreeSet<Tag> = parse::<String>(&row)?
            .iter()
            .filter_map(|tag| tag.parse().ok())
            .collect();
        tags.extend(
            learned
                .into_iter()
                .filter(|(_, checked_at)| *checked_at > row.fetched_at)
                .map(|(tag, _)| tag),
        );
        Ok(Answer {
            content: tags.into_iter().collect(),
            outcome,
            age,
        })
    }

    /// All referrers, unfiltered.
    pub async fn list_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Answer<Arc<[Descriptor]>>, MirrorError> {
        let key = ListKey::Referrers(repository.name.clone(), subject.clone());
        let error = match self.list(repository, &key).await {
            Ok((row, outcome, age)) => {
                return Ok(Answer {
                    content: parse(&row)?.into(),
                    outcome,
                    age,
                });
            }
            Err(error) => error,
        };
        let known = self
            .inner
            .meta
            .manifest_referrers(&repository.name, subject)
            .await?;
        if error.is_answer() || known.is_empty() {
            return Err(error);
        }
        Ok(Answer {
            content: known.into(),
            outcome: Outcome::Stale,
            age: None,
        })
    }

    /// The list from its row while it is fresh, else from the remote, else the row again.
    async fn list(
        &self,
        repository: &Repository,
        key: &ListKey,
    ) -> Result<(ListRow, Outcome, Option<Duration>), MirrorError> {
        let row = self.list_row(key).await?;
        let now = SystemTime::now();
        let age = row.as_ref().map(|row| age_of(row.fetched_at, now));
        if let Some(row) = &row
            && is_within(repository.project.list_ttl(), row.fetched_at, now)
        {
            return Ok((row.clone(), Outcome::Hit, age));
        }
        match (self.fetch_list(repository, key, row.clone()).await, row) {
            (Ok((row, outcome)), _) => Ok((row, outcome, None)),
            (Err(error), Some(row)) if !error.is_answer() => {
                tracing::warn!(repository = %repository.name, %error, "the remote cannot be asked; a list is served stale");
                Ok((row, Outcome::Stale, age))
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn fetch_list(
        &self,
        repository: &Repository,
        key: &ListKey,
        old: Option<ListRow>,
    ) -> Result<(ListRow, Outcome), MirrorError> {
        let client = self.client_for(repository, &repository.name)?;
        let (mirror, remote_name, flight_key) =
            (self.clone(), repository.remote_name.clone(), key.clone());
        let fetch = async move {
            mirror
                .fetch_list_alone(&client, &remote_name, &flight_key, old)
                .await
        };
        let (result, seat) = self
            .inner
            .list_fetches
            .run(key.clone(), fetch.boxed())
            .await;
        Ok((result?, seat.outcome(Outcome::Miss)))
    }

    async fn fetch_list_alone(
        &self,
        client: &RegistryClient,
        remote_name: &Name,
        key: &ListKey,
        old: Option<ListRow>,
    ) -> Result<ListRow, MirrorError> {
        // The fetch before this one may have ended after the caller had looked.
        let row = self.list_row(key).await?;
        if let Some(row) = row.filter(|row| Some(row) != old.as_ref()) {
            return Ok(row);
        }
        let patience = if old.is_some() {
            Patience::Short
        } else {
            Patience::Full
        };
        let fetched_at = SystemTime::now();
        let body = match key {
            ListKey::Tags(_) => {
                let tags = client.tag_list(remote_name, patience).await?;
                serialize(&tags.iter().map(Tag::as_str).collect::<Vec<_>>())
            }
            ListKey::Referrers(_, subject) => {
                serialize(&client.referrer_list(remote_name, subject, patience).await?)
            }
        };
        let row = ListRow {
            body: body.into(),
            fetched_at,
        };
        self.keep_list(key, row.clone()).await?;
        Ok(row)
    }

    async fn list_row(&self, key: &ListKey) -> Result<Option<ListRow>, MirrorError> {
        let (kind, row_key) = key.row_key();
        let row = self.inner.meta.list(key.repository(), kind, &row_key);
        Ok(match row.await? {
            None => self.inner.lists_of_strangers.get(key).await,
            row => row,
        })
    }

    /// Remotes say of any digest, even in a repository that they do not have, that it has no referrers. Rows are for
    /// subjects that are known; of others, which any client can make up, that is kept in memory, and not of many.
    async fn keep_list(&self, key: &ListKey, row: ListRow) -> Result<(), MirrorError> {
        let meta = &self.inner.meta;
        if let ListKey::Referrers(name, subject) = key
            && row.body == NO_ENTRIES
            && !meta.manifest_known(name, subject).await?
        {
            let strangers = &self.inner.lists_of_strangers;
            strangers.insert(key.clone(), row).await;
            return Ok(());
        }
        let (kind, row_key) = key.row_key();
        Ok(meta.list_put(key.repository(), kind, &row_key, row).await?)
    }
}

fn serialize<T: Serialize>(list: &T) -> Vec<u8> {
    serde_json::to_vec(list).expect("strings and descriptors have no keys that JSON refuses")
}

fn parse<T: DeserializeOwned>(row: &ListRow) -> Result<Vec<T>, MirrorError> {
    serde_json::from_slice(&row.body).map_err(|error| {
        tracing::error!(%error, "a list's row cannot be read");
        MirrorError::Internal
    })
}
