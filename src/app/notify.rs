//! Webhooks: made of what the configuration says, and their background work.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::StartError;
use crate::{
    client::Poster,
    config::{Config, Database},
    jobs,
    meta::Meta,
    notify::{Notifier, Parts},
    telemetry::Metrics,
};

/// How often it is looked whether something has happened.
const POLL: Duration = Duration::from_millis(500);

/// What messages name a server that was not told its URL.
const SOURCE: &str = "/entrepot";

/// Reads the files that the webhooks name.
pub(super) fn check(config: &Config) -> Result<(), StartError> {
    for webhook in &config.webhooks {
        Poster::new(webhook)?;
    }
    Ok(())
}

/// Begins to send what happens from now on, and what was left.
pub(super) async fn start(
    config: &Config,
    meta: &Meta,
    metrics: &Metrics,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<(), StartError> {
    let public_url = config.server.public_url.as_ref();
    let source = public_url.map(|url| url.origin().ascii_serialization());
    let notifier = Notifier::new(Parts {
        meta: meta.clone(),
        metrics: metrics.clone(),
        webhooks: config.webhooks.clone(),
        source: source.unwrap_or_else(|| SOURCE.to_owned()),
        shutdown: shutdown.clone(),
    })?;
    if matches!(config.database, Database::Sqlite(_)) {
        meta.webhooks_left().await?;
    }
    notifier.begin().await?;
    let count = notifier.count();
    if count > 0 {
        tracing::info!(count, "webhooks are ready");
        tasks.spawn(jobs::run(
            notifier,
            count,
            Arc::default(),
            POLL,
            shutdown.clone(),
        ));
    }
    Ok(())
}
