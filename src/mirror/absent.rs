//! What remotes said is not there, or not for us: remembered for a project's `negative_ttl`, so that a thing that many
//! ask for and nobody has costs a remote one request, not one for each of them. In memory and bounded. An outage is
//! never remembered here: it says nothing of the thing that was asked for.
//!
//! What comes to be here meanwhile beats what is remembered: rows are looked at first, and a tag's row that was checked
//! later than the remote was asked counts for more.

use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use moka::future::Cache;
use tokio::time::Instant;

use super::{MirrorError, listed::ListKey};
use crate::oci::{Digest, Name, Reference};

/// How many answers are remembered.
const ANSWERS: u64 = 20_000;

/// One thing of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Thing {
    Manifest(Name, Reference),
    Blob(Name, Digest),
    List(ListKey),
}

/// A remote's word that a thing is not there.
#[derive(Debug, Clone)]
pub(super) struct Absence {
    pub(super) answer: MirrorError,
    /// When the question began.
    pub(super) asked_at: SystemTime,
    until: Instant,
}

/// All that is remembered to be absent.
pub(super) struct Absences(Cache<Thing, Absence>);

impl Absences {
    pub(super) fn new() -> Self {
        Self(Cache::new(ANSWERS))
    }

    pub(super) async fn get(&self, thing: &Thing) -> Option<Absence> {
        let absence = self.0.get(thing).await?;
        (Instant::now() < absence.until).then_some(absence)
    }

    /// # Errors
    /// What the remote said, if it is remembered.
    pub(super) async fn check(&self, thing: &Thing) -> Result<(), MirrorError> {
        match self.get(thing).await {
            Some(absence) => Err(absence.answer),
            None => Ok(()),
        }
    }

    /// Asks, and remembers for so long if the answer is that the thing is not there.
    pub(super) async fn learn<T>(
        &self,
        thing: Thing,
        ttl: Duration,
        ask: BoxFuture<'_, Result<T, MirrorError>>,
    ) -> Result<T, MirrorError> {
        let asked_at = SystemTime::now();
        let answer = ask.await;
        match &answer {
            Ok(_) => self.forget(&thing).await,
            Err(error) if error.is_answer() => self.remember(thing, ttl, asked_at, error).await,
            Err(_) => {}
        }
        answer
    }

    async fn remember(
        &self,
        thing: Thing,
        ttl: Duration,
        asked_at: SystemTime,
        answer: &MirrorError,
    ) {
        // Longer than the process lives is long enough.
        let Some(until) = Instant::now().checked_add(ttl).filter(|_| !ttl.is_zero()) else {
            return;
        };
        let absence = Absence {
            answer: answer.clone(),
            asked_at,
            until,
        };
        self.0.insert(thing, absence).await;
    }

    /// The thing is here now, or is to be asked for anew.
    pub(super) async fn forget(&self, thing: &Thing) {
        self.0.invalidate(thing).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn thing() -> Thing {
        let digest = Digest::sha256(b"blob");
        Thing::Blob("r/app".parse().expect("a name"), digest)
    }

    async fn learned(answer: Result<(), MirrorError>, ttl: Duration) -> Absences {
        let absences = Absences::new();
        let learned = absences.learn(thing(), ttl, async { answer }.boxed()).await;
        assert_eq!(
            absences.check(&thing()).await.is_err(),
            learned.is_err() && !ttl.is_zero()
        );
        absences
    }

    fn gone() -> MirrorError {
        MirrorError::NotFound("not there".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_is_remembered_for_its_time() {
        for answer in [gone(), MirrorError::Refused("not for you".to_owned())] {
            let absences = learned(Err(answer), TTL).await;
            tokio::time::advance(TTL / 2).await;
            assert!(absences.check(&thing()).await.is_err());
            tokio::time::advance(TTL / 2).await;
            assert!(absences.check(&thing()).await.is_ok());
        }
    }

    #[tokio::test]
    async fn without_a_time_nothing_is_remembered() {
        learned(Err(gone()), Duration::ZERO).await;
    }

    #[tokio::test]
    async fn an_outage_is_never_remembered() {
        let absences = Absences::new();
        for outage in [
            MirrorError::Unavailable {
                message: "down".to_owned(),
                retry_after: None,
            },
            MirrorError::BadGateway {
                message: "broken".to_owned(),
            },
            MirrorError::TimedOut {
                message: "slow".to_owned(),
            },
            MirrorError::Internal,
        ] {
            let ask = async { Err::<(), _>(outage) }.boxed();
            assert!(absences.learn(thing(), TTL, ask).await.is_err());
            assert!(absences.check(&thing()).await.is_ok());
        }
    }

    #[tokio::test]
    async fn what_is_found_or_forgotten_is_absent_no_more() {
        let absences = learned(Err(gone()), TTL).await;
        let found = absences.learn(thing(), TTL, async { Ok(()) }.boxed()).await;
        assert!(found.is_ok() && absences.check(&thing()).await.is_ok());
        let absences = learned(Err(gone()), TTL).await;
        absences.forget(&thing()).await;
        assert!(absences.check(&thing()).await.is_ok());
    }
}
