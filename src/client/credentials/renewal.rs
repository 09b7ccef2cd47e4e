//! One login that has an end: fetched once for all who wait, replaced behind their backs shortly before it expires, and
//! fetched anew when the remote refuses it, but not more often than every few seconds.
//!
//! A fetch is a task of its own. Who waits may leave (a cached tag is worth two seconds), the fetch goes on.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{task::AbortHandle, time::Instant};

use super::Login;

/// Longer than any helper or service takes that works.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two fetches, when one failed or its login was refused.
const PAUSE: Duration = Duration::from_secs(5);
/// How long before its end a login is replaced at most, and how long it is sent at most.
const EARLY: Duration = Duration::from_mins(5);
const LATE: Duration = Duration::from_secs(15);
/// A login that has ended when it comes is a matter of clocks that differ.
const MIN_LIFETIME: Duration = Duration::from_mins(1);
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// Something that gives out logins.
pub(in crate::client) trait Source: Send + Sync + 'static {
    fn fetch(&self) -> BoxFuture<'_, Result<Grant, CredentialError>>;
}

/// What a source gives.
pub(in crate::client) struct Grant {
    /// `None`: it knows this server, or does not, and has no login for it.
    pub(in crate::client) login: Option<Login>,
    /// How long it is good from now.
    pub(in crate::client) lifetime: Duration,
}

/// Why a source gives nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {detail}")]
pub(in crate::client) struct CredentialError {
    /// Who failed, for anybody to read.
    pub(in crate::client) what: String,
    /// What it said, for the log of the operator.
    pub(in crate::client) detail: String,
    /// The service itself said no, or what we were told to use is unfit: that will be so again until somebody changes it.
    pub(in crate::client) is_refusal: bool,
}

impl CredentialError {
    pub(in crate::client) fn new(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            detail: detail.into(),
            is_refusal: false,
        }
    }

    pub(in crate::client) fn refused(self) -> Self {
        Self {
            is_refusal: true,
            ..self
        }
    }
}

type Outcome = Result<Option<Arc<Login>>, CredentialError>;

/// The login that a source gives, for as long as it is good.
pub(in crate::client) struct Renewal {
    shared: Arc<Fetcher>,
}

struct Fetcher {
    remote: String,
    source: Box<dyn Source>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    failed: Option<(Instant, CredentialError)>,
    running: Option<(Shared<BoxFuture<'static, Outcome>>, AbortHandle)>,
}

struct Current {
    login: Option<Arc<Login>>,
    since: Instant,
    fresh_until: Instant,
    good_until: Instant,
    /// By the clock on the wall, which goes on while the machine sleeps.
    ends: SystemTime,
}

/// Where a login is in its life.
#[derive(Debug, PartialEq, Eq)]
enum Age {
    Fresh,
    /// To be replaced, and still good.
    Old,
    Gone,
}

impl Drop for Renewal {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.shared.lock().running {
            task.abort();
        }
    }
}

impl Renewal {
    pub(in crate::client) fn new(remote: &str, source: Box<dyn Source>) -> Self {
        let shared = Arc::new(Fetcher {
            remote: remote.to_owned(),
            source,
            state: Mutex::default(),
        });
        Self { shared }
    }

    /// A login that is good now. May be dropped at any time.
    pub(in crate::client) async fn get(&self) -> Outcome {
        let running = {
            let mut state = self.shared.lock();
            let now = Instant::now();
            let failed = state.failed_before(now);
            let clock = SystemTime::now();
            let current = state.current.as_ref();
            let current = current.map(|current| (current.age(now, clock), current.given()));
            match (current, failed) {
                (Some((Age::Fresh, login)), _) => return Ok(login),
                (Some((Age::Old, login)), failed) => {
                    if failed.is_none() {
                        drop(self.running(&mut state));
                    }
                    return Ok(login);
                }
                (_, Some(error)) => return Err(error),
                (_, None) => self.running(&mut state),
            }
        };
        running.await
    }

    /// A login after one was refused: the one that has taken its place, or a new one; `None` if it was only just fetched.
    pub(in crate::client) async fn renewed(&self, refused: &Arc<Login>) -> Outcome {
        let running = {
            let mut state = self.shared.lock();
            let now = Instant::now();
            match &state.current {
                Some(current) if !current.is(refused) => return Ok(current.given()),
                Some(current) if now < current.since + PAUSE => return Ok(None),
                _ => {}
            }
            if let Some(error) = state.failed_before(now) {
                return Err(error);
            }
            state.current = None;
            self.running(&mut state)
        };
        running.await
    }

    /// Is this the login that it gave last?
    pub(in crate::client) fn gave(&self, login: &Arc<Login>) -> bool {
        let state = self.shared.lock();
        state
            .current
            .as_ref()
            .is_some_and(|current| current.is(login))
    }

    fn running(&self, state: &mut State) -> Shared<BoxFuture<'static, Outcome>> {
        if let Some((running, _)) = &state.running {
            return running.clone();
        }
        let fetcher = Arc::clone(&self.shared);
        let task = tokio::spawn(async move { fetcher.fetch().await });
        let handle = task.abort_handle();
        let ended = |_| Err(CredentialError::new("its login", "the fetch was ended"));
        let running = task.map(move |joined| joined.unwrap_or_else(ended));
        let running = running.boxed().shared();
        state.running = Some((running.clone(), handle));
        running
    }
}

impl Fetcher {
    /// Nothing that is done under the lock can leave it half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Outcome {
        let asked = Instant::now();
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.source.fetch()).await;
        let fetched = fetched.unwrap_or_else(|_| {
            let detail = format!("within {} seconds", FETCH_TIMEOUT.as_secs());
            Err(CredentialError::new("its login did not come", detail))
        });
        if let Err(error) = &fetched {
            tracing::warn!(remote = %self.remote, %error, "no login for a remote");
        }
        let mut state = self.lock();
        state.running = None;
        match fetched {
            Ok(grant) => {
                let current = Current::new(grant, asked);
                let given = current.given();
                state.current = Some(current);
                state.failed = None;
                Ok(given)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

impl State {
    /// A failure that is not old enough to try again.
    fn failed_before(&self, now: Instant) -> Option<CredentialError> {
        let (at, error) = self.failed.as_ref()?;
        (now < *at + PAUSE).then(|| error.clone())
    }
}

impl Current {
    fn new(grant: Grant, asked: Instant) -> Self {
        let lifetime = grant.lifetime.clamp(MIN_LIFETIME, MAX_LIFETIME);
        Self {
            login: grant.login.map(Arc::new),
            since: Instant::now(),
            fresh_until: asked + lifetime.saturating_sub(EARLY.min(lifetime / 4)),
            good_until: asked + lifetime.saturating_sub(LATE.min(lifetime / 8)),
            ends: SystemTime::now() + lifetime,
        }
    }

    fn age(&self, now: Instant, clock: SystemTime) -> Age {
        if now >= self.good_until || clock >= self.ends {
            Age::Gone
        } else if now >= self.fresh_until {
            Age::Old
        } else {
            Age::Fresh
        }
    }

    fn given(&self) -> Option<Arc<Login>> {
        self.login.clone()
    }

    fn is(&self, login: &Arc<Login>) -> bool {
        self.login
            .as_ref()
            .is_some_and(|ours| Arc::ptr_eq(ours, login))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_ends_by_the_clock_even_if_the_machine_has_slept() {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let grant = Grant {
            login: None,
            lifetime: Duration::from_hours(1),
        };
        let current = Current::new(grant, now);
        let minutes = Duration::from_mins;
        let age = |awake, passed| current.age(now + minutes(awake), clock + minutes(passed));
        assert_eq!(age(54, 54), Age::Fresh);
        assert_eq!(age(56, 56), Age::Old);
        assert_eq!(age(60, 60), Age::Gone);
        assert_eq!(age(1, 61), Age::Gone);
    }
}
