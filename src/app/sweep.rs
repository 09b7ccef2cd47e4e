//! Deletes what unfinished fills left behind, at start and then from time to time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::Store;

const EVERY: Duration = Duration::from_hours(1);

/// Sweeps until the shutdown.
pub(super) async fn run(store: Store, max_age: Duration, shutdown: CancellationToken) {
    loop {
        run_once(&store, max_age).await;
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn run_once(store: &Store, max_age: Duration) {
    match store.sweep(max_age).await {
        Ok(0) => {}
        Ok(count) => info!(count, "deleted {count} leftovers of unfinished fills"),
        Err(error) => warn!(%error, "cannot sweep the spool: {error}"),
    }
}
