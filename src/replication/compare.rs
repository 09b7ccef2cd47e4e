//! Is what a rule is to have put at its remotes there? Asks them, for as long as somebody waits for the answer.

mod deletes;

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, future::join_all, stream};
use tokio::time::{Instant, timeout_at};

use super::{
    KnownRule, Mode, Replication, ReplicationError, Rule, filter::Candidate, plan::Problem,
    pull::pulled,
};
use crate::{
    meta::{Claim, DeliveryKey, DeliveryRow, Meta, MetaError},
    oci::{Digest, Name, Tag},
    transfer::send::{Destination, Found, SendError},
};

/// How long remotes are asked; what was not asked by then is judged by what was noted.
const ASK_FOR: Duration = Duration::from_secs(15);
/// Questions at one remote at once.
const AT_ONCE: usize = 8;
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
    /// Why the remote could not be asked, or not for everything.
    pub message: Option<String>,
    pub in_sync: bool,
}

/// One tag that is to be somewhere, or is to be there no longer.
struct Wanted {
    key: DeliveryKey,
    /// Where it comes from.
    repository: Name,
    /// `None`: nothing is to be there.
    digest: Option<Digest>,
    /// What is the rule's there.
    noted: Option<Claim>,
    /// When it came to be so.
    since: SystemTime,
}

/// What a rule put at a remote, by its place there.
type Noted = BTreeMap<(Name, Tag), DeliveryRow>;

/// A remote while it is asked.
struct Asking {
    destination: Option<Destination>,
    /// Where the versions of what is here are; `None`: it is at a remote.
    meta: Option<Meta>,
    until: Instant,
    /// What is made here of an index is known by what was noted.
    is_rewritten: bool,
    /// Deletes are replicated.
    deletes: bool,
    compared: Compared,
}

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
        let mut asking = Asking::new(self.destination_of(&known.rule, remote), meta, &known.rule);
        let mut noted = self.noted(known, remote).await?;
        match known.rule.mode {
            Mode::Push => {
                self.compare_ours(known, remote, &mut noted, &mut asking)
                    .await?;
                if known.rule.propagate_delete {
                    self.compare_deletes(known, remote, &noted, &mut asking)
                        .await?;
                }
            }
            Mode::Pull => {
                let found = self.compare_theirs(known, remote, &mut noted, &mut asking);
                match found.await {
                    Ok(()) | Err(Problem::Lost) => {}
                    Err(Problem::Failed(error)) => return Err(error),
                    Err(Problem::Told(message) | Problem::Later(message)) => {
                        asking.give_up(&message);
                        noted.clear();
                    }
                }
            }
        }
        let rest = noted.into_values().map(|row| Wanted {
            key: key(known, remote, &row.destination, row.tag),
            repository: row.repository,
            digest: None,
            noted: Some(row.claim),
            since: row.delivered_at,
        });
        asking.ask(rest.collect()).await?;
        let mut compared = asking.compared;
        compared.remote = remote.to_owned();
        compared.last_success_at = meta.last_success(known.id, remote).await?;
        let lacks_nothing = compared.missing + compared.differing == 0;
        let has_no_more = compared.extra == 0 || !known.rule.propagate_delete;
        compared.in_sync = lacks_nothing && has_no_more && compared.message.is_none();
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
    ) -> Result<(), Problem> {
        let client = self
            .pulled_from(pulled(&known.rule))
            .map_err(Problem::Told)?;
        for repository in self.repositories_there(&known.rule, &client).await? {
            let taken = self.taken_there(&known.rule, &client, &repository).await?;
            match self.name_here(&known.rule, &repository) {
                Ok(destination) => {
                    let place = (remote, &repository, &destination);
                    let wanted = wanted(known, place, taken, noted);
                    asking.ask(wanted).await?;
                }
                Err(_) => asking.compared.missing += taken.len() as u64,
            }
        }
        Ok(())
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

impl Asking {
    fn new(destination: Option<Destination>, meta: &Meta, rule: &Rule) -> Self {
        let message = destination
            .is_none()
            .then(|| "there is no such remote".to_owned());
        Self {
            destination,
            meta: (rule.mode == Mode::Push).then(|| meta.clone()),
            until: Instant::now() + ASK_FOR,
            is_rewritten: rule.rewrites(),
            deletes: rule.propagate_delete,
            compared: Compared {
                message,
                ..Compared::default()
            },
        }
    }

    async fn ask(&mut self, wanted: Vec<Wanted>) -> Result<(), MetaError> {
        let mut waiting = wanted.into_iter();
        while let Some(destination) = self.destination.clone() {
            let step: Vec<_> = waiting.by_ref().take(AT_ONCE).collect();
            if step.is_empty() {
                return Ok(());
            }
            let keys = step.iter().map(|wanted| {
                let key = &wanted.key;
                destination.tag(&key.destination, &key.tag)
            });
            let keys: Vec<_> = keys.collect();
            let asked = stream::iter(keys).buffered(AT_ONCE).collect::<Vec<_>>();
            let answers = timeout_at(self.until, asked).await;
            let Ok(answers) = answers else {
                self.give_up("there was no time to ask for everything");
                self.judge_all(step);
                break;
            };
            let answers: Result<Vec<_>, SendError> = answers.into_iter().collect();
            match answers {
                Ok(answers) => {
                    for (wanted, there) in step.into_iter().zip(answers) {
                        match self.newer(&wanted, &there).await? {
                            // The rule has nothing to do.
                            Some(Ordering::Less) => {}
                            // The delete is for what is there, whoever put it there.
                            Some(Ordering::Greater) if wanted.digest.is_none() => {
                                self.compared.extra += 1;
                            }
                            _ => self.judge(&wanted, there.digest.as_ref()),
                        }
                    }
                }
                Err(error) => {
                    self.give_up(&error.to_string());
                    self.judge_all(step);
                }
            }
        }
        self.judge_all(waiting);
        Ok(())
    }

    /// The write of what is here beside that of what is there, where they differ and both are known. Deletes count if
    /// the rule replicates them.
    async fn newer(&self, wanted: &Wanted, there: &Found) -> Result<Option<Ordering>, MetaError> {
        let (Some(meta), Some(written)) = (&self.meta, &there.state) else {
            return Ok(None);
        };
        let is_delete = written.is_deleted || wanted.digest.is_none();
        if there.digest == wanted.digest || is_delete && !self.deletes {
            return Ok(None);
        }
        let here = meta.tag_state(&wanted.repository, &wanted.key.tag).await?;
        Ok(here.map(|here| here.version.cmp(&written.version)))
    }

    fn give_up(&mut self, message: &str) {
        self.destination = None;
        self.compared.message = Some(message.to_owned());
    }

    /// By what was noted.
    fn judge_all(&mut self, wanted: impl IntoIterator<Item = Wanted>) {
        for one in wanted {
            self.judge(&one, one.noted.as_ref().and_then(Claim::put));
        }
    }

    fn judge(&mut self, wanted: &Wanted, there: Option<&Digest>) {
        let compared = &mut self.compared;
        let noted = wanted.noted.as_ref();
        let is_ours = |there| noted.is_some_and(|claim| claim.covers(there));
        let count = match (&wanted.digest, there) {
            (None, None) => return,
            // What somebody else put there since is not the rule's.
            (None, Some(found)) if !is_ours(found) => return,
            (None, Some(_)) => &mut compared.extra,
            (Some(_), None) => &mut compared.missing,
            (Some(digest), Some(found)) if found == digest => return,
            (Some(_), Some(_)) if self.is_rewritten && noted.map(Claim::digest) == there => {
                return;
            }
            (Some(_), Some(_)) => &mut compared.differing,
        };
        *count += 1;
        if wanted.digest.is_some() {
            let before = compared.behind_since.unwrap_or(wanted.since);
            compared.behind_since = Some(before.min(wanted.since));
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
