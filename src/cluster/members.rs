//! Who there is, as of the last beat, and what time it is by the database's clock.

use std::{fmt, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use crate::meta::MemberRow;

/// The name of one process; a replica that starts again gets another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(Arc<str>);

impl MemberId {
    /// A name that nobody else has.
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MemberId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One member that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: MemberId,
    /// Where the others reach it: scheme, host and port.
    pub advertise_url: Url,
    /// Of its program.
    pub version: String,
    pub started_at: SystemTime,
    /// When it last said that it is there.
    pub seen_at: SystemTime,
}

/// What the last beat was told.
pub(super) struct Roster(ArcSwap<Told>);

struct Told {
    members: Arc<[Member]>,
    /// One moment by the database's clock and by that of this process.
    database: SystemTime,
    process: Instant,
}

impl Default for Roster {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(Told {
            members: Arc::default(),
            database: SystemTime::now(),
            process: Instant::now(),
        }))
    }
}

impl Roster {
    /// What a beat was told just now.
    pub(super) fn set(&self, members: Vec<MemberRow>, now: SystemTime) {
        let member = |row: MemberRow| {
            Some(Member {
                id: row.id.as_str().into(),
                advertise_url: row.advertise_url.parse().ok()?,
                version: row.version,
                started_at: row.started_at,
                seen_at: row.seen_at,
            })
        };
        self.0.store(Arc::new(Told {
            members: members.into_iter().filter_map(member).collect(),
            database: now,
            process: Instant::now(),
        }));
    }

    pub(super) fn members(&self) -> Arc<[Member]> {
        Arc::clone(&self.0.load().members)
    }

    /// The database's clock.
    pub(super) fn now(&self) -> SystemTime {
        let told = self.0.load();
        told.database + told.process.elapsed()
    }
}
