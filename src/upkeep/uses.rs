//! Writes down what clients got, from time to time and at the end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::meta::Meta;

const EVERY: Duration = Duration::from_secs(10);

/// Flushes until the shutdown, and once more then.
pub async fn run(meta: Meta, shutdown: CancellationToken) {
    while shutdown
        .run_until_cancelled(tokio::time::sleep(EVERY))
        .await
        .is_some()
    {
        flush(&meta).await;
    }
    flush(&meta).await;
}

async fn flush(meta: &Meta) {
    if let Err(error) = meta.flush_uses().await {
        tracing::warn!(%error, "cannot write down what was used: {error}");
    }
}
