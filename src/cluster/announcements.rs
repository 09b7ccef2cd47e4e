//! Hears what other replicas have changed: by a notification, and by asking each second all the same.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::meta::{Heard, Listener, Meta, MetaError};

const POLL: Duration = Duration::from_secs(1);

/// An answer that takes longer is no answer: what is in memory may be old by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a listener is not tried again that could not be had.
const LISTEN_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Announcements {
    meta: Meta,
    /// `None`: some may have been missed.
    heard: Option<Heard>,
    listener: Option<Listener>,
    /// When a listener is tried again.
    listen_at: Instant,
}

impl Announcements {
    pub(super) fn new(meta: Meta, heard: Heard) -> Self {
        Self {
            meta,
            heard: Some(heard),
            listener: None,
            listen_at: Instant::now(),
        }
    }

    /// Hears until the shutdown.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let hear = async {
            let mut was_cut_off = false;
            loop {
                let looked = Instant::now();
                let outcome = self.run_once().await;
                if let Err(error) = &outcome
                    && !was_cut_off
                {
                    warn!(%error, "what other replicas change cannot be heard; what is in memory may be old: {error}");
                }
                was_cut_off = outcome.is_err();
                self.wait_until(looked + POLL).await;
            }
        };
        shutdown.run_until_cancelled(hear).await;
    }

    /// Takes in what was announced since the last time.
    async fn run_once(&mut self) -> Result<(), MetaError> {
        // The listener before the look: what is announced in between is heard.
        self.listen().await;
        let look = async {
            match self.heard {
                Some(heard) => self.meta.outdate_announced(heard).await,
                None => self.meta.outdate_all().await,
            }
        };
        let looked = timeout(PATIENCE, look).await;
        let looked = looked.unwrap_or(Err(MetaError::Timeout));
        // After an interruption it is not certain that the same database answers, or has kept all.
        self.heard = looked.as_ref().ok().copied();
        looked.map(|_| ())
    }

    async fn listen(&mut self) {
        if self.listener.is_some() || Instant::now() < self.listen_at {
            return;
        }
        self.listen_at = Instant::now() + LISTEN_PAUSE;
        match timeout(PATIENCE, self.meta.listen()).await {
            Ok(Ok(listener)) => self.listener = listener,
            Ok(Err(error)) => debug!(%error, "cannot listen for announcements: {error}"),
            Err(_elapsed) => debug!("cannot listen for announcements: no answer"),
        }
    }

    /// Until then, or until something is announced.
    async fn wait_until(&mut self, deadline: Instant) {
        let Some(listener) = &mut self.listener else {
            return sleep_until(deadline).await;
        };
        tokio::select! {
            () = sleep_until(deadline) => {}
            heard = listener.heard() => if let Err(error) = heard {
                debug!(%error, "the listener for announcements is lost: {error}");
                self.listener = None;
            }
        }
    }
}
