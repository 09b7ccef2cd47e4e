//! Rests between steps of work that nobody waits for, so that those who pull and push do not notice it.

use std::time::Instant;

/// As long as the step took: at least half of the time is for others.
pub(super) async fn rest(started: Instant) {
    tokio::time::sleep(started.elapsed()).await;
}
