//! Is what a rule is to have put at its remotes there? Asks them, for as long as somebody waits for the answer.

mod asking;
mod deletes;

use std::{collections::BTreeMap, time::SystemTime};

use futures_util::future::join_all;

pub(super) use self::asking::Agreed;
use self::asking::{Asking, Wanted};
use super::{
    KnownRule, Mode, Replication, ReplicationError,
    filter::Candidate,
    plan::Problem,
    pull::{Seen, is_passing, pulled},
    there::taken_there,
};
use crate::{
    meta::{DeliveryKey, DeliveryRow},
    oci::{Name, Tag},
};

const PAGE: u32 = 1000;

/// How a remote compares with what is here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    pub remote: String,
    /// Tags that are not there.
    pub missing: u64,
    /// Tags that are something else there.
    pub differing: u64,
    /// Tags that the rule put there and would not any more; and what else it is to delete there.
    pub extra: u64,
    /// Since when what was to be there first is not.
    pub behind_since: Option<SystemTime>,
    pub last_success_at: Option<SystemTime>,
    /// Since when all of it was asked for: of many tags some were by calls before.
    pub asked_since: Option<SystemTime>,
    /// Why the remote could not be asked, or not for everything.
    pub message: Option<String>,
    pub in_sync: bool,
}

/// What a rule put at a remote, by its place there.
type Noted = BTreeMap<(Name, Tag), DeliveryRow>;

impl Replication {
    /// Compares each remote of a rule with what is here: what the rule takes now with what is where it is to be.
    pub async fn compare(&self, known: &KnownRule) -> Result<Vec<Compared>, ReplicationError> {
        let remotes = known.rule.remotes.iter();
        let compared = remotes.map(|remote| self.compare_with(known, remote));
        join_all(compared).await.into_iter().collect()
    }

    async fn compare_with(
        &self,
        known: &KnownRule,
        remote: &str,
    ) -> Result<Compared, ReplicationError> {
        let meta = &self.inner.parts.meta;
        let destination = self.destination_of(&known.rule, remote);
        let agreed = self.inner.agreed.clone();
        let mut asking = Asking::new(destination, meta, &known.rule, agreed);
        let mut noted = self.noted(known, remote).await?;
        let mut seen = None;
        match known.rule.mode {
            Mode::Push => {
                self.compare_ours(known, remote, &mut noted, &mut asking)
                    .await?;
                if known.rule.propagate_delete {
                    self.compare_deletes(known, remote, &mut noted, &mut asking)
                        .await?;
                }
            }
            Mode::Pull => {
                let found = self.compare_theirs(known, remote, &mut noted, &mut asking);
                match found.await {
                    Ok(found) => seen = Some(found),
                    Err(Problem::Lost) => {}
                    Err(Problem::Failed(error)) => return Err(error),
                    Err(Problem::Told(message) | Problem::Later(message)) => {
                        asking.give_up(&message);
                        noted.clear();
                    }
                }
            }
        }
        let mut rest = Vec::new();
        for row in noted.into_values() {
            let is_doomed = asking.deletes && self.is_gone(&row, seen.as_ref()).await?;
            rest.push(Wanted {
                key: key(known, remote, &row.destination, row.tag),
                repository: row.repository,
                digest: None,
                noted: Some(row.claim),
                is_doomed,
                since: row.delivered_at,
            });
        }
        asking.ask(rest).await?;
        asking.ask_again().await?;
        let doomed = asking.doomed;
        let mut compared = asking.compared;
        compared.remote = remote.to_owned();
        compared.last_success_at = meta.last_success(known.id, remote).await?;
        let to_do = compared.missing + compared.differing + doomed;
        compared.in_sync = to_do == 0 && compared.message.is_none();
        Ok(compared)
    }

    async fn compare_ours(
        &self,
        known: &KnownRule,
        remote: &str,
        noted: &mut Noted,
        asking: &mut Asking,
    ) -> Result<(), ReplicationError> {
        let mut after: Option<Name> = None;
        loop {
            let page = self.repositories(&known.rule, after.as_ref()).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for repository in page {
                let taken = self.taken(&known.rule, &repository).await?;
                match self.destination(&known.rule, &repository) {
                    Ok(destination) => {
                        let place = (remote, &repository, &destination);
                        let wanted = wanted(known, place, taken, noted);
                        asking.ask(wanted).await?;
                    }
                    Err(_) => asking.compared.missing += taken.len() as u64,
                }
            }
        }
    }

    async fn compare_theirs(
        &self,
        known: &KnownRule,
        remote: &str,
        noted: &mut Noted,
        asking: &mut Asking,
    ) -> Result<Seen, Problem> {
        let client = self
            .pulled_from(pulled(&known.rule))
            .map_err(Problem::Told)?;
        let mut seen = Seen::new();
        for repository in self.repositories_there(&known.rule, &client).await? {
            let (taken, tags) = match taken_there(&known.rule, &client, &repository).await {
                Err(error) if !is_passing(&error) => {
                    // What is to be here of it is not known; of the others it is.
                    asking.compared.message = Some(format!("`{repository}`: {error}"));
                    noted.retain(|_, row| row.repository != repository);
                    continue;
                }
                taken => taken?,
            };
            if !tags.is_empty() {
                seen.insert(repository.clone(), tags);
            }
            match self.name_here(&known.rule, &repository) {
                Ok(destination) => {
                    let place = (remote, &repository, &destination);
                    let wanted = wanted(known, place, taken, noted);
                    asking.ask(wanted).await?;
                }
                Err(_) => asking.compared.missing += taken.len() as u64,
            }
        }
        Ok(seen)
    }

    /// Everything that the rule put at a remote.
    async fn noted(&self, known: &KnownRule, remote: &str) -> Result<Noted, ReplicationError> {
        let mut noted = Noted::new();
        let mut after: Option<(Name, Tag)> = None;
        loop {
            let from = after.as_ref().map(|(name, tag)| (name, tag));
            let meta = &self.inner.parts.meta;
            let page = meta.deliveries(known.id, remote, from, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            for row in page {
                let place = (row.destination.clone(), row.tag.clone());
                after = Some(place.clone());
                noted.insert(place, row);
            }
            if is_last {
                return Ok(noted);
            }
        }
    }
}

/// What is to be in a repository, with what was noted of it.
fn wanted(
    known: &KnownRule,
    (remote, repository, destination): (&str, &Name, &Name),
    taken: Vec<Candidate>,
    noted: &mut Noted,
) -> Vec<Wanted> {
    let wanted = taken.into_iter().map(|one| Wanted {
        noted: noted
            .remove(&(destination.clone(), one.tag.clone()))
            .map(|row| row.claim),
        key: key(known, remote, destination, one.tag),
        repository: repository.clone(),
        is_doomed: false,
        since: one.created_at.max(known.created_at),
        digest: Some(one.digest),
    });
    wanted.collect()
}

fn key(known: &KnownRule, remote: &str, destination: &Name, tag: Tag) -> DeliveryKey {
    DeliveryKey {
        rule: known.id,
        remote: remote.to_owned(),
        destination: destination.clone(),
        tag,
    }
}

#[cfg(test)]
mod tests;
