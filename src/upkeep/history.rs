//! What was done long ago is forgotten: entries of the audit, executions that have ended, events that every rule has seen,
//! and deletes of tags, when they are older than `upkeep.keep_days`; and executions of which a rule has too many. Every replica
//! does it; what one has deleted the others do not find.

use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use super::rest::rest;
use crate::meta::{Meta, MetaError};

const EVERY: Duration = Duration::from_hours(1);
/// After the start, which has other things to do.
const FIRST: Duration = Duration::from_mins(1);

/// How many executions of a rule are remembered, the newest.
const KEEP_EXECUTIONS: u32 = 10_000;

/// Forgets what is old.
pub struct History {
    pub meta: Meta,
    /// How long things are remembered.
    pub keep: Duration,
}

impl History {
    /// Forgets until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut wait = FIRST;
        let mut turn = async || {
            tokio::time::sleep(wait).await;
            wait = EVERY;
            if let Err(error) = self.run_once().await {
                tracing::warn!(%error, "cannot forget what is old: {error}");
            }
        };
        while shutdown.run_until_cancelled(turn()).await.is_some() {}
    }

    /// Forgets what is old now; how many entries. May be dropped: the next run does the rest.
    pub async fn run_once(&self) -> Result<u64, MetaError> {
        let mut forgotten = 0;
        let Some(before) = SystemTime::now().checked_sub(self.keep) else {
            return Ok(forgotten);
        };
        loop {
            let started = Instant::now();
            let some = self.meta.audit_expire(before).await?
                + self.meta.executions_expire(before).await?
                + self.meta.executions_thin(KEEP_EXECUTIONS).await?
                + self.meta.events_expire(before).await?
                + self.meta.notices_expire(before).await?
                + self.meta.tag_versions_expire(before).await?;
            if some == 0 {
                break;
            }
            forgotten += some;
            rest(started).await;
        }
        if forgotten > 0 {
            tracing::info!(forgotten, "forgot {forgotten} old entries of history");
        }
        Ok(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Database, meta::AuditEntry};

    #[tokio::test]
    async fn only_what_is_older_than_it_is_kept_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("entrepot.db"));
        let meta = Meta::open(&database).await.unwrap();
        let day = Duration::from_hours(24);
        for days in [0, 1, 2, 3] {
            let entry = AuditEntry {
                at: SystemTime::now() - day * days - Duration::from_mins(1),
                principal: format!("{days} days ago"),
                source: None,
                action: "login".to_owned(),
                subject: String::new(),
                outcome: "done".to_owned(),
                detail: None,
            };
            meta.audit(entry).await.unwrap();
        }
        let keep = day * 2;
        let history = History {
            meta: meta.clone(),
            keep,
        };
        assert_eq!(history.run_once().await.unwrap(), 2);
        assert_eq!(history.run_once().await.unwrap(), 0);
        let left = meta.audits(None, 10).await.unwrap();
        let left: Vec<_> = left
            .iter()
            .map(|row| row.entry.principal.as_str())
            .collect();
        assert_eq!(left, ["1 days ago", "0 days ago"]);
    }
}
