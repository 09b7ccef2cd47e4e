//! Which of a remote's URLs is asked, for how long, and when again: layers 1 to 4 of the transport.
//!
//! 1. URLs in their order, those that are down (`health`) or limit us (`budget`) passed over.
//! 2. While another one is left, each has a short time for its headers: one that hangs costs no more than that, and that
//!    once, since it is down then.
//! 3. All down: who has something cached is told at once, unless it is by bad answers; who has nothing asks all the same,
//!    each for an equal time.
//! 4. What they said together, failures from memory included, in their order (`retry::merge`); then again, if that may
//!    help and the patience allows it.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, ready};
use tokio::time::{Instant, timeout};
use url::Url;

use super::{
    ClientError, ErrorKind, Patience, RateBudget, UrlHealth,
    endpoint::{Wire, static_name},
    error::Failure,
    limit::Slot,
    retry::{self, Deadline},
    transport::{Answer, Call, Document, Transport, Try},
};

/// How long a URL may take for its headers while another one is left.
const FAILOVER_AFTER: Duration = Duration::from_secs(2);

/// What makes the answer of an operation out of headers and an open body.
type Finish<'f, T> = &'f (dyn Fn(Answer) -> BoxFuture<'f, Result<T, Failure>> + Sync);

/// What makes the answer of an operation out of a whole body. Where it says so, the next URL is asked, or the same again.
type Judge<'j, T> = &'j (dyn Fn(Document) -> Result<T, Failure> + Sync);

/// One URL in one round.
struct Target {
    place: usize,
    url: Url,
    standing: Standing,
}

enum Standing {
    Ready,
    /// It did not answer before; what was wrong.
    Down(Failure),
    /// It would refuse, or what is left is for others.
    Limited(Failure),
    Asked(Failure),
}

impl Target {
    fn is_ready(&self) -> bool {
        matches!(self.standing, Standing::Ready)
    }

    /// To be asked when no URL is ready. One that answers badly costs no time, and it may be one thing alone that it
    /// answers badly to; on silence nobody waits who has something cached.
    fn is_last_resort(&self, patience: Patience) -> bool {
        let Standing::Down(failure) = &self.standing else {
            return false;
        };
        patience == Patience::Full || !failure.silent
    }
}

/// How long one URL may take.
#[derive(Clone, Copy)]
struct Share {
    /// URLs that are asked in this round.
    count: u32,
    /// Those that are still to be asked, this one included.
    left: u32,
    /// Nobody is known to answer: no hurry to the next one.
    last_resort: bool,
}

impl Share {
    fn of(self, time: Duration) -> Duration {
        let equal = time / self.left;
        if self.left == 1 || self.last_resort {
            equal
        } else {
            equal.min(FAILOVER_AFTER)
        }
    }

    /// Does nothing within this time, of so much granted to all of them, mean that nobody is there? The rest that is
    /// left before a deadline is no time to judge by.
    fn tells(self, time: Duration, granted: Duration) -> bool {
        time >= (granted / self.count).min(FAILOVER_AFTER) / 2
    }
}

impl Transport {
    /// Asks until the headers are here; the body is the caller's to read.
    pub(super) async fn open(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<Answer, ClientError> {
        self.ask(call, deadline, &|answer| ready(Ok(answer)).boxed())
            .await
    }

    /// Asks until the whole body, of at most `limit` bytes, is here.
    pub(super) async fn load(
        &self,
        call: &Call,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Document, ClientError> {
        self.load_as(call, limit, deadline, &Ok).await
    }

    /// As `load`, until a body is what it must be.
    pub(super) async fn load_as<T>(
        &self,
        call: &Call,
        limit: u64,
        deadline: Deadline,
        judge: Judge<'_, T>,
    ) -> Result<T, ClientError> {
        let read = |answer: Answer| {
            let read = async move {
                judge(Document {
                    status: answer.status,
                    bytes: answer.body.read_whole(limit, deadline.whole).await?,
                    headers: answer.headers,
                    endpoint: answer.endpoint,
                    url: answer.url,
                })
            };
            read.boxed()
        };
        self.ask(call, deadline, &read).await
    }

    /// Finds which URLs nobody answers at, before one that answers: many who ask at once next need not each find out.
    pub(super) async fn look_around(&self) {
        let preferred = self.endpoints.split_last();
        for endpoint in preferred.map_or(&[][..], |(_, preferred)| preferred) {
            let began = Instant::now();
            let probed = endpoint.probe(&self.wire).await;
            endpoint.note(&self.wire, began, probed.as_ref().err());
            if probed.is_ok() {
                return;
            }
        }
    }

    /// What is left of the rate limit, at the best of the URLs that are asked.
    pub(super) fn budget(&self) -> RateBudget {
        let now = Instant::now();
        let of = |down: bool| {
            let endpoints = self.endpoints.iter();
            let endpoints = endpoints.filter(move |at| at.health.failure().is_some() == down);
            let budgets = endpoints.map(|endpoint| endpoint.budget.read(now));
            budgets.reduce(RateBudget::better)
        };
        of(false).or_else(|| of(true)).unwrap_or(RateBudget::Plenty)
    }

    /// Has any of the URLs asked for a login or a token?
    pub(super) fn was_asked_for_login(&self) -> bool {
        self.endpoints.iter().any(|at| at.scheme.load().is_some())
    }

    pub(super) fn health(&self) -> Vec<UrlHealth> {
        let endpoints = self.endpoints.iter().map(|endpoint| UrlHealth {
            url: endpoint.url.clone(),
            trouble: endpoint.health.trouble(),
        });
        endpoints.collect()
    }

    /// Layers 1 and 2: rounds over the URLs until one answers or the patience is at its end.
    async fn ask<T>(
        &self,
        call: &Call,
        mut deadline: Deadline,
        finish: Finish<'_, T>,
    ) -> Result<T, ClientError> {
        let mut delays = retry::delays(deadline.patience);
        let mut earlier = None;
        loop {
            let cut_short = deadline.remaining() < deadline.granted / 2;
            let failure = match self.round(call, &mut deadline, finish).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let wait = retry::wait_before_next(&failure, delays.next(), &deadline);
            let Some(wait) = wait else {
                return Err(retry::reason(earlier, failure, cut_short).error);
            };
            tracing::warn!(
                remote = %self.wire.remote,
                kind = call.kind,
                error = %failure.error,
                wait_ms = wait.as_millis(),
                "asking a remote again"
            );
            earlier = Some(failure);
            tokio::time::sleep(wait).await;
        }
    }

    /// Layer 3: each URL that may be asked, in their order.
    async fn round<T>(
        &self,
        call: &Call,
        deadline: &mut Deadline,
        finish: Finish<'_, T>,
    ) -> Result<T, Failure> {
        let mut targets = self.targets(call, deadline)?;
        let last_resort = !targets.iter().any(Target::is_ready);
        let may_ask = |target: &&mut Target| {
            target.is_ready() || (last_resort && target.is_last_resort(deadline.patience))
        };
        let chosen: Vec<&mut Target> = targets.iter_mut().filter(may_ask).collect();
        let count = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        for (left, target) in (1..=count).rev().zip(chosen) {
            let slot = self.slot(deadline).await?;
            let share = Share {
                count,
                left,
                last_resort,
            };
            let at = Try {
                place: target.place,
                url: target.url.clone(),
                slot,
                priority: deadline.priority,
            };
            match self.try_at(call, at, share, deadline, finish).await {
                Ok(done) => return Ok(done),
                Err(failure) => target.standing = Standing::Asked(failure),
            }
        }
        let failures = targets
            .into_iter()
            .filter_map(|target| match target.standing {
                Standing::Ready => None,
                Standing::Down(failure) | Standing::Limited(failure) | Standing::Asked(failure) => {
                    Some(failure)
                }
            });
        let merged = failures.fold(None, |merged, failure| Some(retry::merge(merged, failure)));
        Err(merged.expect("a remote has at least one URL"))
    }

    fn targets(&self, call: &Call, deadline: &Deadline) -> Result<Vec<Target>, Failure> {
        let now = Instant::now();
        let target = |place: usize, url| Target {
            place,
            url,
            standing: self.standing(call, deadline, place, now),
        };
        if let Some((place, url)) = &call.page {
            return Ok(vec![target(*place, url.clone())]);
        }
        let urls = self.endpoints.iter().enumerate().map(|(place, endpoint)| {
            let url = endpoint.url.join(&call.path);
            url.map(|url| target(place, url))
        });
        let mut targets: Vec<_> = urls
            .collect::<Result<_, _>>()
            .map_err(|error| ClientError::invalid(&self.wire.remote, error.to_string()))?;
        let first = call.first_url % targets.len();
        targets.rotate_left(first);
        Ok(targets)
    }

    fn standing(&self, call: &Call, deadline: &Deadline, place: usize, now: Instant) -> Standing {
        let endpoint = &self.endpoints[place];
        let admitted = endpoint.budget.admit(call.cost(), deadline.priority, now);
        if let Err(until) = admitted {
            return Standing::Limited(self.limited(until - now));
        }
        match endpoint.health.failure() {
            None => Standing::Ready,
            Some(mut failure) => {
                let message = &mut failure.error.message;
                *message = format!("passed over until it answers again: {message}");
                failure.again = false;
                Standing::Down(failure)
            }
        }
    }

    /// Layer 4. That our own downloads take all places says nothing about the remote: who has nothing else to serve
    /// waits in the queue, and the time for an answer begins after it.
    pub(super) async fn slot(&self, deadline: &mut Deadline) -> Result<Slot, Failure> {
        let (began, longest) = (Instant::now(), deadline.queue());
        let slot = timeout(longest, self.limits.slot(deadline.priority)).await;
        deadline.queued(began.elapsed());
        slot.map_err(|_| Failure {
            again: false,
            ..self.timed_out("free connection", longest)
        })
    }

    /// One URL, once; what it did is remembered.
    async fn try_at<T>(
        &self,
        call: &Call,
        at: Try,
        share: Share,
        deadline: &mut Deadline,
        finish: Finish<'_, T>,
    ) -> Result<T, Failure> {
        let endpoint = &self.endpoints[at.place];
        let (began, longest) = (Instant::now(), share.of(deadline.remaining()));
        let Ok(opened) = timeout(longest, self.attempt(call, at)).await else {
            let failure = self.timed_out("answer", share.of(deadline.granted));
            let method = static_name(&call.method);
            let Wire {
                remote, metrics, ..
            } = &self.wire;
            metrics.remote_request(remote, call.kind, method, 0, longest);
            if share.tells(longest, deadline.granted) {
                endpoint.note(&self.wire, began, Some(&failure));
            }
            return Err(failure);
        };
        let done = match opened {
            Ok(answer) => {
                let reading = Instant::now();
                let done = finish(answer).await;
                deadline.read_for(reading.elapsed());
                // Somebody is there, who sends too little.
                done.map_err(|failure| Failure {
                    silent: false,
                    ..failure
                })
            }
            Err(failure) => Err(failure),
        };
        endpoint.note(&self.wire, began, done.as_ref().err());
        done
    }

    fn timed_out(&self, what: &str, waited: Duration) -> Failure {
        let message = format!("no {what} within {}", humantime::format_duration(waited));
        let error = ClientError::new(ErrorKind::TimedOut, &self.wire.remote, message);
        Failure::again(error)
    }

    /// A request that was not sent.
    fn limited(&self, wait: Duration) -> Failure {
        let seconds = Duration::from_secs(wait.as_secs() + 1);
        let message = format!(
            "its rate limit leaves no request for {}",
            humantime::format_duration(seconds)
        );
        let error = ClientError::new(ErrorKind::RateLimited, &self.wire.remote, message);
        let mut failure = Failure::again(error.with_status(429));
        failure.error.retry_after = Some(wait);
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn share(count: u32, left: u32, last_resort: bool) -> Share {
        Share {
            count,
            left,
            last_resort,
        }
    }

    #[test]
    fn a_url_has_two_seconds_at_most_while_another_one_is_left() {
        assert_eq!(share(2, 2, false).of(15 * SECOND), 2 * SECOND);
        assert_eq!(share(2, 1, false).of(13 * SECOND), 13 * SECOND);
        assert_eq!(share(2, 2, false).of(2 * SECOND), SECOND);
        assert_eq!(share(2, 2, true).of(15 * SECOND), 15 * SECOND / 2);
    }

    #[test]
    fn the_rest_before_a_deadline_is_no_time_to_judge_by() {
        let alone = share(1, 1, false);
        assert!(alone.tells(2 * SECOND, 2 * SECOND));
        assert!(alone.tells(SECOND, 15 * SECOND));
        assert!(!alone.tells(SECOND / 2, 15 * SECOND));
        assert!(share(2, 1, false).tells(SECOND, 2 * SECOND));
    }
}
