//! Tag lists and referrers: fetched whole from the remote, kept for the ttl, given stale in outages.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;

use super::{
    Answer, Mirror, MirrorError, Outcome, Repository,
    absent::Thing,
    dial::{in_time, is_scarce},
    freshness::{Standing, age_of, may_be_stale, standing},
    listed::{Entries, List, ListKey, merge},
};
use crate::{
    client::{Patience, RegistryClient},
    oci::{Descriptor, Digest, Tag},
};

/// A list, how it came about, and how old it is.
type Told = (List, Outcome, Option<Duration>);

impl Mirror {
    /// All tags, sorted as bytes: the remote's list, and what was learned since it was fetched.
    pub async fn list_tags(
        &self,
        repository: &Repository,
    ) -> Result<Answer<Arc<[Tag]>>, MirrorError> {
        let key = ListKey::Tags(repository.name.clone());
        let ever = SystemTime::UNIX_EPOCH;
        let meta = &self.inner.meta;
        let (list, outcome, age) = match self.list(repository, &key).await {
            Ok(told) => told,
            Err(error) => {
                let pulled = meta.tags_since(&repository.name, ever).await?;
                if pulled.is_empty() || !self.may_stand_in(repository, &key, &error).await? {
                    return Err(error);
                }
                return Ok(stale(pulled.into()));
            }
        };
        // What is still served although the remote deleted it belongs to the list, too.
        let keeps_deleted = repository.project.keep_deleted;
        let since = if keeps_deleted { ever } else { list.fetched_at };
        let learned = meta.tags_since(&repository.name, since).await?;
        Ok(Answer {
            content: merge(&list.tags(), learned),
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
            Ok((list, outcome, age)) => {
                return Ok(Answer {
                    content: list.referrers(),
                    outcome,
                    age,
                });
            }
            Err(error) => error,
        };
        let meta = &self.inner.meta;
        let pulled = meta.manifest_referrers(&repository.name, subject).await?;
        if pulled.is_empty() || !self.may_stand_in(repository, &key, &error).await? {
            return Err(error);
        }
        Ok(stale(pulled.into()))
    }

    /// May what was pulled stand in for a list that cannot be had? Only if there never was one, and the remote has not
    /// said that there is none.
    async fn may_stand_in(
        &self,
        repository: &Repository,
        key: &ListKey,
        error: &MirrorError,
    ) -> Result<bool, MirrorError> {
        let is_settled = error.is_answer() && !repository.project.keep_deleted;
        Ok(!is_settled && self.known_list(key).await?.is_none())
    }

    /// The list from here while it is fresh, else from the remote, else from here again.
    async fn list(&self, repository: &Repository, key: &ListKey) -> Result<Told, MirrorError> {
        let Some(list) = self.known_list(key).await? else {
            let thing = Thing::List(key.clone());
            let client = self.client_for(repository, &thing).await?;
            let fetch = self.fetch_list(client, repository, key, None, Patience::Full);
            let (list, outcome) = fetch.await?;
            return Ok((list, outcome, None));
        };
        let now = SystemTime::now();
        let age = age_of(list.fetched_at, now);
        let rule = repository.project.freshness_of_lists();
        let standing = standing(&rule, key, list.fetched_at, now);
        if standing == Standing::Fresh {
            return Ok((list, Outcome::Hit, Some(age)));
        }
        let Some(client) = self.client(repository) else {
            return Ok((list, Outcome::Stale, Some(age)));
        };
        let seen = Some(list.fetched_at);
        let may_be_stale = may_be_stale(&rule, age);
        let is_absent = self.is_absent_since(key, &list).await;
        if !is_absent {
            if standing == Standing::Lapsing {
                self.fetch_list_behind(&client, repository, key, seen);
                return Ok((list, Outcome::Hit, Some(age)));
            }
            if is_scarce(&client) && may_be_stale {
                return Ok((list, Outcome::Stale, Some(age)));
            }
        }
        let patience = match may_be_stale {
            true => Patience::Short,
            false => Patience::Full,
        };
        let fetch = self.fetch_list(client.clone(), repository, key, seen, patience);
        let fetched = if may_be_stale && !is_absent {
            let behind = || self.fetch_list_behind(&client, repository, key, seen);
            in_time(&client, fetch, behind).await
        } else {
            fetch.await
        };
        let error = match fetched {
            Ok((list, outcome)) => return Ok((list, outcome, None)),
            Err(error) => error,
        };
        let may_be_served = if error.is_answer() {
            repository.project.keep_deleted
        } else {
            may_be_stale
        };
        if !may_be_served {
            return Err(error);
        }
        tracing::warn!(repository = %repository.name, %error, "a list cannot be fetched; it is served stale");
        Ok((list, Outcome::Stale, Some(age)))
    }

    /// Has the remote said since that there is no such list?
    async fn is_absent_since(&self, key: &ListKey, list: &List) -> bool {
        let absence = self.inner.absences.get(&Thing::List(key.clone())).await;
        absence.is_some_and(|absence| absence.asked_at > list.fetched_at)
    }

    /// `seen`: when the list that the caller knows was fetched.
    async fn fetch_list(
        &self,
        client: RegistryClient,
        repository: &Repository,
        key: &ListKey,
        seen: Option<SystemTime>,
        patience: Patience,
    ) -> Result<(List, Outcome), MirrorError> {
        self.inner.absences.check(&Thing::List(key.clone())).await?;
        let (mirror, repository, wanted) = (self.clone(), repository.clone(), key.clone());
        let fetch = async move {
            mirror
                .fetch_list_alone(&client, &repository, &wanted, seen, patience)
                .await
        };
        let flights = &self.inner.list_fetches;
        let (result, seat) = flights.run(key.clone(), fetch.boxed()).await;
        Ok((result?, seat.outcome(Outcome::Miss)))
    }

    /// As `fetch_list`, for nobody who waits; left for another time when the rate budget is low.
    fn fetch_list_behind(
        &self,
        client: &RegistryClient,
        repository: &Repository,
        key: &ListKey,
        seen: Option<SystemTime>,
    ) {
        if is_scarce(client) {
            return;
        }
        let client = client.background();
        let (mirror, repository, wanted) = (self.clone(), repository.clone(), key.clone());
        let fetch = async move {
            let short = Patience::Short;
            let fetched = mirror.fetch_list_alone(&client, &repository, &wanted, seen, short);
            fetched.await.inspect_err(|error| {
                tracing::warn!(repository = %repository.name, %error, "a list that was served could not be fetched anew");
            })
        };
        self.inner.list_fetches.start(key.clone(), fetch.boxed());
    }

    async fn fetch_list_alone(
        &self,
        client: &RegistryClient,
        repository: &Repository,
        key: &ListKey,
        seen: Option<SystemTime>,
        patience: Patience,
    ) -> Result<List, MirrorError> {
        let patience = match self.read_list(key).await? {
            // The fetch before this one may have ended after the caller had looked.
            Some(list) if Some(list.fetched_at) != seen => return Ok(list),
            // There is nothing to lose.
            Some(list) if list.is_empty() => Patience::Full,
            _ => patience,
        };
        let ask = async {
            let name = &repository.remote_name;
            Ok(match key {
                ListKey::Tags(_) => Entries::Tags(client.tag_list(name, patience).await?.into()),
                ListKey::Referrers(_, subject) => {
                    let referrers = client.referrer_list(name, subject, patience).await?;
                    Entries::Referrers(referrers.into())
                }
            })
        };
        let ttl = repository.project.negative_ttl;
        let thing = Thing::List(key.clone());
        let asked_at = SystemTime::now();
        let entries = self.inner.absences.learn(thing, ttl, ask.boxed()).await?;
        self.keep_list(key, entries, asked_at).await
    }

    async fn known_list(&self, key: &ListKey) -> Result<Option<List>, MirrorError> {
        match self.inner.lists.get(key).await {
            None => self.read_list(key).await,
            list => Ok(list),
        }
    }

    /// The list of the row, which may be newer than what is in memory; lists of strangers have no row.
    async fn read_list(&self, key: &ListKey) -> Result<Option<List>, MirrorError> {
        let (kind, row_key) = key.row_key();
        let row = self.inner.meta.list(key.repository(), kind, &row_key);
        let (row, read) = (row.await?, self.inner.lists.get(key).await);
        let Some(row) = row else {
            return Ok(read);
        };
        if read
            .as_ref()
            .is_some_and(|list| list.fetched_at == row.fetched_at)
        {
            return Ok(read);
        }
        let list = List::parse(key, &row)?;
        self.inner.lists.keep(key, list.clone()).await;
        Ok(Some(list))
    }

    /// Remotes say of any digest, even in a repository that they do not have, that it has no referrers. Rows are for
    /// subjects that are known; of others, which any client can make up, that is kept in memory, and not of many.
    async fn keep_list(
        &self,
        key: &ListKey,
        entries: Entries,
        asked_at: SystemTime,
    ) -> Result<List, MirrorError> {
        let meta = &self.inner.meta;
        let (list, row) = List::new(entries, asked_at);
        let is_of_a_stranger = match key {
            ListKey::Referrers(name, subject) if list.is_empty() => {
                !meta.manifest_known(name, subject).await?
            }
            ListKey::Referrers(..) | ListKey::Tags(_) => false,
        };
        if !is_of_a_stranger {
            let (kind, row_key) = key.row_key();
            let written = meta.list_put(key.repository(), kind, &row_key, row).await;
            if let Err(error) = written {
                // On a full disk the remote's word is good all the same.
                tracing::error!(repository = %key.repository(), %error, "cannot write the row of a list");
            }
        }
        self.inner.lists.keep(key, list.clone()).await;
        Ok(list)
    }
}

fn stale<T>(content: T) -> Answer<T> {
    Answer {
        content,
        outcome: Outcome::Stale,
        age: None,
    }
}
