//! The work: takes webhooks that have something before them, and sends it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, header::CONTENT_TYPE};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    message::{self, MEDIA_TYPE, Message},
    signer::Signer,
    verdict::{Verdict, judge},
};
use crate::{
    client::{Poster, PosterError},
    config::Webhook,
    jobs::{Job, Queue},
    meta::{HeldWebhook, Meta, MetaError, Notice, Position, WebhookNext},
    telemetry::Metrics,
};

/// Notices that are looked at together.
const PAGE: u32 = 200;
/// A webhook is held so much longer than a delivery may take.
const LEASE_RESERVE: Duration = Duration::from_secs(30);
/// How long a webhook rests when the database does not answer.
const REST: Duration = Duration::from_secs(5);

/// What [`Notifier`] is made of.
pub struct Parts {
    pub meta: Meta,
    pub metrics: Metrics,
    pub webhooks: Vec<Webhook>,
    /// This server, as messages name it.
    pub source: String,
    /// Ends what is being sent.
    pub shutdown: CancellationToken,
}

/// The webhooks of this server; cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

struct Inner {
    meta: Meta,
    metrics: Metrics,
    receivers: HashMap<String, Receiver>,
    source: String,
    holder: Uuid,
    shutdown: CancellationToken,
}

struct Receiver {
    webhook: Webhook,
    poster: Poster,
    signer: Signer,
}

/// What came of one notice.
enum Told {
    /// It is behind us, and was sent.
    Sent,
    /// It is behind us, and was not for this webhook.
    Nothing,
    /// It was too old.
    TooOld,
    /// It stays before us for so long.
    Failed(Duration),
    /// The process ends.
    Cut,
}

/// What came of some notices.
enum Turn {
    More,
    Done,
    Failed(Duration),
    /// Somebody else sends for it by now.
    Lost,
}

impl Notifier {
    /// The error names the file that is wrong.
    pub fn new(parts: Parts) -> Result<Self, PosterError> {
        let receiver = |webhook: Webhook| {
            let receiver = Receiver {
                poster: Poster::new(&webhook)?,
                signer: Signer::new(&webhook.key()),
                webhook,
            };
            Ok((receiver.webhook.name.clone(), receiver))
        };
        let receivers = parts.webhooks.into_iter().map(receiver);
        Ok(Self {
            inner: Arc::new(Inner {
                receivers: receivers.collect::<Result<_, _>>()?,
                meta: parts.meta,
                metrics: parts.metrics,
                source: parts.source,
                holder: Uuid::now_v7(),
                shutdown: parts.shutdown,
            }),
        })
    }

    /// New webhooks are told of what happens from now on; those that are no longer there are forgotten.
    pub async fn begin(&self) -> Result<(), MetaError> {
        let names = self.inner.receivers.keys().cloned().collect();
        self.inner.meta.webhooks_set(names).await
    }

    /// How many webhooks there are: so many may send at once, and none waits for another.
    pub fn count(&self) -> usize {
        self.inner.receivers.len()
    }

    async fn take_one(&self) -> Result<Option<Job>, MetaError> {
        let Inner { meta, holder, .. } = &*self.inner;
        for name in meta.webhooks_due().await? {
            let Some(receiver) = self.inner.receivers.get(&name) else {
                continue;
            };
            if let Some(held) = meta.webhook_hold(&name, *holder, receiver.lease()).await? {
                let inner = Arc::clone(&self.inner);
                return Ok(Some(async move { inner.send_all(held).await }.boxed()));
            }
        }
        Ok(None)
    }
}

impl Queue for Notifier {
    fn take(&self, _most: usize) -> BoxFuture<'_, Vec<Job>> {
        async {
            let taken = self.take_one().await.unwrap_or_else(|error| {
                warn!(%error, "webhooks cannot look for what happened: {error}");
                None
            });
            taken.into_iter().collect()
        }
        .boxed()
    }
}

impl Receiver {
    /// For one delivery, and what comes before and after.
    fn lease(&self) -> Duration {
        self.webhook.timeout.saturating_add(LEASE_RESERVE)
    }

    fn is_too_old(&self, notice: &Notice) -> bool {
        let age = SystemTime::now().duration_since(notice.at());
        age.unwrap_or_default() > self.webhook.max_age
    }
}

impl Inner {
    /// Sends until there is nothing left, or the receiver fails.
    async fn send_all(&self, mut held: HeldWebhook) {
        let receiver = &self.receivers[&held.name];
        let rest = loop {
            match self.send_some(receiver, &mut held).await {
                Ok(Turn::More) => {}
                Ok(Turn::Done) => break Duration::ZERO,
                Ok(Turn::Failed(wait)) => break wait,
                Ok(Turn::Lost) => return,
                Err(error) => {
                    let name = &held.name;
                    warn!(webhook = name, %error, "webhook `{name}` cannot go on: {error}");
                    break REST;
                }
            }
        };
        let name = held.name.clone();
        let kept = self.meta.webhook_keep(held, WebhookNext::Rest(rest)).await;
        if let Err(error) = kept {
            // Its time runs out.
            warn!(webhook = name, %error, "webhook `{name}` is not let go: {error}");
        }
    }

    async fn send_some(
        &self,
        receiver: &Receiver,
        held: &mut HeldWebhook,
    ) -> Result<Turn, MetaError> {
        self.skip(receiver, held).await?;
        let notices = self.meta.notices_after(held.passed, PAGE).await?;
        if notices.is_empty() {
            self.metrics.webhook_behind(&held.name, 0);
            return Ok(Turn::Done);
        }
        let mut too_old = 0;
        for notice in &notices {
            let told = self.tell(receiver, notice, held.attempts).await?;
            match told {
                Told::Cut => return Ok(Turn::Done),
                Told::Failed(wait) => {
                    held.attempts += 1;
                    return Ok(Turn::Failed(wait));
                }
                Told::TooOld => too_old += 1,
                Told::Sent | Told::Nothing => {}
            }
            held.passed = held.passed.past(notice);
            held.attempts = 0;
            if matches!(told, Told::Sent) && !self.keep(receiver, held).await? {
                return Ok(Turn::Lost);
            }
        }
        self.dropped(&held.name, too_old, "they are older than its max_age");
        match self.keep(receiver, held).await? {
            true => Ok(Turn::More),
            false => Ok(Turn::Lost),
        }
    }

    async fn keep(&self, receiver: &Receiver, held: &HeldWebhook) -> Result<bool, MetaError> {
        let next = WebhookNext::Hold(receiver.lease());
        self.meta.webhook_keep(held.clone(), next).await
    }

    /// Leaves out what is more than may wait.
    async fn skip(&self, receiver: &Receiver, held: &mut HeldWebhook) -> Result<(), MetaError> {
        let (newest, passed) = (self.meta.newest_notice().await?, held.passed);
        let first = |newest: i64| newest - i64::from(receiver.webhook.max_waiting);
        let next = Position {
            event: passed.event.max(first(newest.event)),
            execution: passed.execution.max(first(newest.execution)),
        };
        let skipped = (next.event - passed.event) + (next.execution - passed.execution);
        if skipped > 0 {
            held.passed = next;
            held.attempts = 0;
            let skipped = u64::try_from(skipped).expect("just seen to be positive");
            self.dropped(&held.name, skipped, "more wait than its max_waiting");
        }
        Ok(())
    }

    fn dropped(&self, name: &str, count: u64, why: &str) {
        if count == 0 {
            return;
        }
        self.metrics.webhook_delivery(name, "dropped", count);
        warn!(
            webhook = name,
            count, "webhook `{name}` is not told of {count} events: {why}"
        );
    }

    async fn tell(
        &self,
        receiver: &Receiver,
        notice: &Notice,
        attempts: u64,
    ) -> Result<Told, MetaError> {
        let webhook = &receiver.webhook;
        if !webhook.wants_event(notice.kind()) {
            return Ok(Told::Nothing);
        }
        if receiver.is_too_old(notice) {
            return Ok(Told::TooOld);
        }
        let Some((data, project)) = message::data(&self.meta, notice).await? else {
            return Ok(Told::Nothing);
        };
        if !webhook.wants_project(&project) {
            return Ok(Told::Nothing);
        }
        let message = message::message(notice, &data, &self.source);
        let sent = self.send(receiver, &message, attempts);
        let Some(verdict) = self.shutdown.run_until_cancelled(sent).await else {
            return Ok(Told::Cut);
        };
        Ok(self.note(&webhook.name, notice, attempts, verdict))
    }

    async fn send(&self, receiver: &Receiver, message: &Message, attempts: u64) -> Verdict {
        let now = SystemTime::now();
        let mut headers = receiver.signer.headers(&message.id, &message.body, now);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        let posted = receiver.poster.post(headers, message.body.clone()).await;
        judge(posted, attempts)
    }

    /// Counts and logs.
    fn note(&self, name: &str, notice: &Notice, attempts: u64, verdict: Verdict) -> Told {
        let kind = notice.kind();
        let behind = notice.at().elapsed().unwrap_or_default().as_secs();
        let count = |outcome| self.metrics.webhook_delivery(name, outcome, 1);
        match verdict {
            Verdict::Delivered => {
                count("delivered");
                self.metrics.webhook_behind(name, 0);
                if attempts > 0 {
                    info!(
                        webhook = name,
                        attempts, "webhook `{name}` takes events again"
                    );
                }
                debug!(
                    webhook = name,
                    kind, "webhook `{name}` was told of `{kind}`"
                );
                Told::Sent
            }
            Verdict::Refused(message) => {
                self.dropped(name, 1, &format!("{message}, again and again"));
                Told::Sent
            }
            Verdict::Failed(message, wait) => {
                count("failed");
                self.metrics.webhook_behind(name, behind);
                let seconds = wait.as_secs();
                warn!(
                    webhook = name,
                    kind,
                    attempts,
                    "webhook `{name}` cannot be told of `{kind}`: {message}; \
                     it is sent again in {seconds} seconds"
                );
                Told::Failed(wait)
            }
        }
    }
}
