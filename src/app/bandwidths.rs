//! Bandwidths that the configuration file says, of its remotes and of all background transfers: read again when it changes.
//! A bad new file is told of and what was stays; all else in it holds from the next start on.

use std::{num::NonZeroU64, path::Path, sync::Arc, time::Duration, time::SystemTime};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    config::{Config, Declared},
    settings::Settings,
    transfer::Budget,
};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(3);

/// When the file was last written, and its size.
type Written = (SystemTime, u64);

/// What follows the file.
pub(super) struct Bandwidths {
    declared: Declared,
    settings: Settings,
    /// Of all background transfers together.
    everything: Arc<Budget>,
    /// Of the file last looked at, good or bad.
    seen: Option<Written>,
}

impl Bandwidths {
    pub(super) fn new(config: &Config, settings: &Settings, everything: Arc<Budget>) -> Self {
        Self {
            declared: config.declared.clone(),
            settings: settings.clone(),
            everything,
            seen: None,
        }
    }

    /// Looks at the file until the shutdown.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let Some(file) = self.declared.file().map(Path::to_owned) else {
            return;
        };
        let look = async {
            self.seen = written(&file).await;
            loop {
                sleep(EVERY).await;
                self.run_once(&file).await;
            }
        };
        shutdown.run_until_cancelled(look).await;
    }

    async fn run_once(&mut self, file: &Path) {
        let written = written(file).await;
        if written.is_none() || written == self.seen {
            return;
        }
        self.seen = written;
        let declared = self.declared.clone();
        let read = tokio::task::spawn_blocking(move || declared.read_again()).await;
        let config = match read {
            Ok(Ok(config)) => config,
            Ok(Err(error)) => {
                error!(%error, "the configuration changed and cannot be used, what was stays: {error}");
                return;
            }
            Err(panic) => {
                error!(%panic, "the configuration cannot be read again");
                return;
            }
        };
        let bandwidth = config.replication.bandwidth;
        self.everything.set(bandwidth.and_then(NonZeroU64::new));
        match self.settings.follow_bandwidths(&config.declared).await {
            Ok(()) => {
                info!(path = %file.display(), "the bandwidths of the configuration were read again");
            }
            Err(error) => error!(%error, "the bandwidths of remotes stay as they are: {error}"),
        }
    }
}

/// `None`: it is not there now.
async fn written(file: &Path) -> Option<Written> {
    let metadata = tokio::fs::metadata(file).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
