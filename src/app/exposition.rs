//! `/metrics`. What events count is there already; tasks are rows, counted when somebody asks, though not each time.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tracing::warn;

use crate::{
    meta::{Meta, MetaError},
    telemetry::{Metrics, metrics::EXPOSITION_TYPE},
};

/// Rows are counted no sooner after the last time,
const REST: Duration = Duration::from_secs(10);
/// and no sooner than after so many times as long as it took then: a long history must not keep the database busy.
const RESTS: u32 = 50;
/// Nobody waits longer for them: what is told of tasks is then what was counted before.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is told to those who ask for metrics; cheap to clone.
#[derive(Clone)]
pub(super) struct Exposition {
    metrics: Metrics,
    meta: Meta,
    /// When rows may be counted again; held by who counts.
    next: Arc<Mutex<Instant>>,
}

impl Exposition {
    pub(super) fn new(metrics: Metrics, meta: Meta) -> Self {
        let next = Arc::new(Mutex::new(Instant::now()));
        Self {
            metrics,
            meta,
            next,
        }
    }

    /// Counts tasks if it is time to. May be dropped.
    async fn count_tasks(&self) {
        // Somebody else counts just now.
        let Ok(mut next) = self.next.try_lock() else {
            return;
        };
        let started = Instant::now();
        if started < *next {
            return;
        }
        *next = started + REST;
        match timeout(PATIENCE, self.meta.task_states()).await {
            Ok(Ok(states)) => {
                for (status, count) in states {
                    self.metrics.tasks(status.as_str(), count);
                }
            }
            Ok(Err(error)) => told(&error),
            Err(_elapsed) => told(&MetaError::Timeout),
        }
        *next = (*next).max(Instant::now() + started.elapsed() * RESTS);
    }
}

fn told(error: &MetaError) {
    warn!(%error, "cannot count tasks for the metrics: {error}");
}

pub(super) async fn metrics(State(exposition): State<Exposition>) -> Response {
    exposition.count_tasks().await;
    let text = exposition.metrics.encode();
    ([(header::CONTENT_TYPE, EXPOSITION_TYPE)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Database;

    #[tokio::test]
    async fn tasks_are_counted_once_for_those_who_ask_soon_after_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("entrepot.db"));
        let meta = Meta::open(&database).await.unwrap();
        let exposition = Exposition::new(Metrics::default(), meta);
        exposition.count_tasks().await;
        let line = r#"entrepot_tasks{status="Failed"} 0"#;
        assert!(exposition.metrics.encode().contains(line));
        exposition.metrics.tasks("Failed", 7);
        exposition.count_tasks().await;
        let kept = r#"entrepot_tasks{status="Failed"} 7"#;
        assert!(exposition.metrics.encode().contains(kept));
        *exposition.next.lock().await = Instant::now();
        exposition.count_tasks().await;
        assert!(exposition.metrics.encode().contains(line));
    }
}
