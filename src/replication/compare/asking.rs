//! One remote while it is asked. What it was found to have is remembered for a while, so that of a rule with more tags than
//! there is time for each call goes on where the last one stopped.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, stream};
use moka::sync::Cache;
use tokio::time::{Instant, timeout_at};

use super::{Compared, Mode};
use crate::{
    meta::{Claim, DeliveryKey, Meta, MetaError},
    oci::{Digest, Name},
    replication::Rule,
    transfer::send::{Destination, Found, SendError},
};

/// How long remotes are asked; what was not asked by then is judged by what was found before, or else by what was noted.
const ASK_FOR: Duration = Duration::from_secs(15);
/// Questions at one remote at once.
const AT_ONCE: usize = 8;
/// How long it is remembered what was right, and of how many tags.
const REMEMBERED_FOR: Duration = Duration::from_mins(30);
const MAX_REMEMBERED: u64 = 300_000;

/// One tag that is to be somewhere, or is to be there no longer.
pub(super) struct Wanted {
    pub(super) key: DeliveryKey,
    /// Where it comes from.
    pub(super) repository: Name,
    /// `None`: nothing is to be there.
    pub(super) digest: Option<Digest>,
    /// What is the rule's there.
    pub(super) noted: Option<Claim>,
    /// If it is there, the rule deletes it.
    pub(super) is_doomed: bool,
    /// When it came to be so.
    pub(super) since: SystemTime,
}

/// A remote while it is asked.
pub(super) struct Asking {
    pub(super) destination: Option<Destination>,
    /// Where the versions of what is here are; `None`: it is at a remote.
    pub(super) meta: Option<Meta>,
    pub(super) until: Instant,
    /// What is made here of an index is known by what was noted.
    pub(super) is_rewritten: bool,
    /// Deletes are replicated.
    pub(super) deletes: bool,
    /// Of what is too much, how much the rule deletes.
    pub(super) doomed: u64,
    /// What was right when it was last asked for.
    pub(super) agreed: Agreed,
    /// Asked for again when there is time: all else has been.
    pub(super) later: Vec<(Wanted, SystemTime)>,
    pub(super) compared: Compared,
}

/// Tags that were right somewhere, by [`Wanted::place`], and when; clones are one.
#[derive(Clone)]
pub(in crate::replication) struct Agreed(Cache<Digest, SystemTime>);

impl Default for Agreed {
    fn default() -> Self {
        let cache = Cache::builder()
            .max_capacity(MAX_REMEMBERED)
            .time_to_live(REMEMBERED_FOR);
        Self(cache.build())
    }
}

impl Wanted {
    /// Short for rule, remote, place there, and what is to be there.
    fn place(&self) -> Digest {
        let (key, digest) = (&self.key, &self.digest);
        let digest = digest.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = format!(
            "{}\n{}\n{}:{}\n{digest}",
            key.rule, key.remote, key.destination, key.tag
        );
        Digest::sha256(text.as_bytes())
    }
}

impl Asking {
    pub(super) fn new(
        destination: Option<Destination>,
        meta: &Meta,
        rule: &Rule,
        agreed: Agreed,
    ) -> Self {
        let message = destination
            .is_none()
            .then(|| "there is no such remote".to_owned());
        Self {
            destination,
            meta: (rule.mode == Mode::Push).then(|| meta.clone()),
            until: Instant::now() + ASK_FOR,
            is_rewritten: rule.rewrites(),
            deletes: rule.propagate_delete,
            doomed: 0,
            agreed,
            later: Vec::new(),
            compared: Compared {
                message,
                ..Compared::default()
            },
        }
    }

    /// First for what no call before found right.
    pub(super) async fn ask(&mut self, wanted: Vec<Wanted>) -> Result<(), MetaError> {
        let mut now = Vec::new();
        for one in wanted {
            match self.agreed.0.get(&one.place()) {
                Some(at) if self.destination.is_some() => self.later.push((one, at)),
                _ => now.push(one),
            }
        }
        let mut waiting = now.into_iter();
        while let Some(destination) = self.destination.clone() {
            let step: Vec<_> = waiting.by_ref().take(AT_ONCE).collect();
            if step.is_empty() {
                return Ok(());
            }
            if !self.ask_step(&destination, &step).await? {
                self.give_up("there was no time to ask for everything: the next call goes on");
                self.judge_all(step);
            }
        }
        self.judge_all(waiting);
        Ok(())
    }

    /// What was right before is asked for again as long as there is time; the rest is believed.
    pub(super) async fn ask_again(&mut self) -> Result<(), MetaError> {
        let mut later = std::mem::take(&mut self.later);
        later.sort_by_key(|(_, at)| *at);
        let mut waiting = later.into_iter().peekable();
        let now = SystemTime::now();
        while let Some(destination) = self.destination.clone() {
            let Some(oldest) = waiting.peek().map(|(_, at)| *at) else {
                break;
            };
            let step: Vec<_> = waiting.by_ref().take(AT_ONCE).collect();
            let step: Vec<_> = step.into_iter().map(|(wanted, _)| wanted).collect();
            if !self.ask_step(&destination, &step).await? {
                self.compared.asked_since = Some(oldest);
                return Ok(());
            }
        }
        self.compared.asked_since = self.destination.is_some().then_some(now);
        self.judge_all(waiting.map(|(wanted, _)| wanted));
        Ok(())
    }

    /// A few questions at once. False: there was no time for them.
    async fn ask_step(
        &mut self,
        destination: &Destination,
        step: &[Wanted],
    ) -> Result<bool, MetaError> {
        let keys = step.iter().map(|wanted| {
            let key = &wanted.key;
            destination.tag(&key.destination, &key.tag)
        });
        let keys: Vec<_> = keys.collect();
        let asked = stream::iter(keys).buffered(AT_ONCE).collect::<Vec<_>>();
        let Ok(answers) = timeout_at(self.until, asked).await else {
            return Ok(false);
        };
        let answers: Result<Vec<_>, SendError> = answers.into_iter().collect();
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                self.give_up(&error.to_string());
                self.judge_all(step);
                return Ok(true);
            }
        };
        for (wanted, there) in step.iter().zip(answers) {
            let is_right = match self.newer(wanted, &there).await? {
                // The rule has nothing to do.
                Some(Ordering::Less) => true,
                // The delete is for what is there, whoever put it there.
                Some(Ordering::Greater) if wanted.digest.is_none() => self.is_extra(wanted),
                _ => self.judge(wanted, there.digest.as_ref()),
            };
            let (agreed, place) = (&self.agreed.0, wanted.place());
            match is_right {
                true => agreed.insert(place, SystemTime::now()),
                false => agreed.invalidate(&place),
            }
        }
        Ok(true)
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

    pub(super) fn give_up(&mut self, message: &str) {
        self.destination = None;
        self.compared.message = Some(message.to_owned());
    }

    /// By what was noted.
    fn judge_all(&mut self, wanted: impl IntoIterator<Item: Borrow<Wanted>>) {
        for one in wanted {
            let one = one.borrow();
            self.judge(one, one.noted.as_ref().and_then(Claim::put));
        }
    }

    fn is_extra(&mut self, wanted: &Wanted) -> bool {
        self.compared.extra += 1;
        self.doomed += u64::from(wanted.is_doomed);
        false
    }

    /// Is it as it is to be?
    pub(super) fn judge(&mut self, wanted: &Wanted, there: Option<&Digest>) -> bool {
        let compared = &mut self.compared;
        let noted = wanted.noted.as_ref();
        let is_ours = |there| noted.is_some_and(|claim| claim.covers(there));
        let count = match (&wanted.digest, there) {
            (None, None) => return true,
            // What somebody else put there since is not the rule's.
            (None, Some(found)) if !is_ours(found) => return true,
            (None, Some(_)) => return self.is_extra(wanted),
            (Some(_), None) => &mut compared.missing,
            (Some(digest), Some(found)) if found == digest => return true,
            (Some(_), Some(_)) if self.is_rewritten && noted.map(Claim::digest) == there => {
                return true;
            }
            (Some(_), Some(_)) => &mut compared.differing,
        };
        *count += 1;
        if wanted.digest.is_some() {
            let before = compared.behind_since.unwrap_or(wanted.since);
            compared.behind_since = Some(before.min(wanted.since));
        }
        false
    }
}
