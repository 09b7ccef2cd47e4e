//! Fellow replicas: processes that share a database and a bucket. Layer 1; keeps its rows through `meta`.
//!
//! ```text
//! members.rs        who there is: each says so every two seconds, by the database's clock
//! leases.rs         what only one of them does at a time: a row, renewed with the same beat
//! announcements.rs  what one has changed and the others have in memory
//! peers.rs          bytes that another has, over HTTP; signature.rs: only among members
//! ```
//! None of this is needed for a right answer about content, which has its digest: a replica that is cut off from the others
//! fetches what it could have shared.

pub mod leases;
pub mod members;
pub mod peers;
pub mod signature;

mod announcements;
#[cfg(test)]
mod tests;

pub use leases::{Claim, Lease};
pub use members::{Member, MemberId};
pub use peers::{PeerBody, PeerContent, PeerError, PeerErrorKind, PeerFill, PeerRequest};
pub use signature::Refusal;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use moka::future::Cache;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{announcements::Announcements, leases::Table, members::Roster, signature::Signer};
use crate::{
    config,
    meta::{Beat, Heard, Meta, MetaError},
};

/// How often a member says that it is there, and renews its leases.
const BEAT: Duration = Duration::from_secs(2);

/// Who says nothing for so long is not there any more: its leases are free.
const EXPIRY: Duration = Duration::from_secs(10);

/// For so long it is remembered who cannot be reached: a line between two replicas may be cut while both are there.
const OUT_OF_REACH: Duration = Duration::from_mins(1);
const MEMBERS: u64 = 1000;

/// How long announcements are kept.
const CHANGES_KEPT: Duration = Duration::from_mins(10);

/// This process among its fellows; cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    me: MemberId,
    advertise_url: String,
    meta: Meta,
    roster: Roster,
    leases: Table,
    signer: Signer,
    http: reqwest::Client,
    /// What was announced until it joined, when nothing was in memory yet.
    heard: Heard,
    /// Members that are there by their rows, and could not be reached just now.
    out_of_reach: Cache<MemberId, ()>,
}

/// Why a process cannot be a member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("cannot make a client for the other replicas: {0}")]
    Http(#[source] reqwest::Error),
    #[error("cannot join the other replicas: {0}")]
    Meta(#[from] MetaError),
}

impl Cluster {
    /// Becomes a member. `meta` was opened as this member; `tls` trusts whom replicas are to trust.
    pub async fn join(
        me: MemberId,
        config: &config::Cluster,
        meta: Meta,
        tls: rustls::ClientConfig,
    ) -> Result<Self, JoinError> {
        let cluster = Self {
            inner: Arc::new(Inner {
                advertise_url: config.advertise_url.to_string(),
                roster: Roster::default(),
                leases: Table::default(),
                signer: Signer::new(&config.secret),
                http: peers::client(tls).map_err(JoinError::Http)?,
                heard: meta.outdate_all().await?,
                out_of_reach: Cache::builder()
                    .max_capacity(MEMBERS)
                    .time_to_live(OUT_OF_REACH)
                    .build(),
                meta,
                me,
            }),
        };
        let inner = &cluster.inner;
        let earlier = inner
            .meta
            .member_replace(inner.me.as_str(), &inner.advertise_url)
            .await?;
        if earlier > 0 {
            info!(
                advertise_url = inner.advertise_url,
                "this replica was here before and did not leave in order"
            );
        }
        cluster.beat().await?;
        Ok(cluster)
    }

    /// Stays a member, and hears what the others announce, until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let announcements = Announcements::new(self.inner.meta.clone(), self.inner.heard);
        tokio::join!(
            announcements.run(shutdown.clone()),
            self.keep_beating(shutdown.clone()),
            self.keep_releasing(shutdown),
        );
    }

    /// Leaves: the others need not wait until they notice. The last thing that a member does.
    pub async fn leave(&self) {
        if let Err(error) = self.inner.meta.member_leave(self.inner.me.as_str()).await {
            warn!(%error, "cannot tell the other replicas that this one ends: {error}");
        }
    }

    pub fn me(&self) -> &MemberId {
        &self.inner.me
    }

    /// All members that are there, this one too, the oldest first.
    pub fn members(&self) -> Arc<[Member]> {
        self.inner.roster.members()
    }

    /// How many members there are: one at least.
    pub fn size(&self) -> usize {
        self.members().len().max(1)
    }

    /// Was this member waited for in vain a short time ago?
    pub fn is_out_of_reach(&self, member: &MemberId) -> bool {
        self.inner.out_of_reach.contains_key(member)
    }

    /// Notes that this member was waited for in vain.
    pub async fn note_out_of_reach(&self, member: &MemberId) {
        self.inner.out_of_reach.insert(member.clone(), ()).await;
    }

    async fn keep_beating(&self, shutdown: CancellationToken) {
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_cut_off = false;
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let beat = self.beat().await;
            match &beat {
                Err(error) if !is_cut_off => {
                    warn!(%error, "the other replicas cannot be reached through the database: {error}");
                }
                Ok(()) if is_cut_off => info!("the other replicas can be reached again"),
                _ => {}
            }
            is_cut_off = beat.is_err();
        }
    }

    /// Says that this member is there, and learns who else is.
    async fn beat(&self) -> Result<(), MetaError> {
        let inner = &self.inner;
        let held = inner.leases.held();
        let pulse = inner
            .meta
            .member_beat(Beat {
                id: inner.me.as_str().to_owned(),
                advertise_url: inner.advertise_url.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                member_expiry: EXPIRY,
                lease_expiry: EXPIRY,
                changes_kept: CHANGES_KEPT,
            })
            .await?;
        inner.leases.compare(&held, pulse.leases);
        inner.roster.set(pulse.members, pulse.now);
        Ok(())
    }

    /// The database's clock, which all members share, as far as this process knows it.
    pub fn now(&self) -> SystemTime {
        self.inner.roster.now()
    }
}
