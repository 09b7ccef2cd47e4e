//! Which way a fill goes in a cluster: to the remote, by the one lease for its digest, or after the replica that has it.
//!
//! ```text
//! lease `fill:<digest>` ── mine ──► the remote (or, where rows say that somebody has the blob, whoever has it)
//!                      └── another's ──► its fill, from our byte on ── cut ──► the lease again
//! ```
//! When the fill is over its rows are there, which say so to the others; until object storage has the blob, too, they have
//! it from here.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{
    FillRequest,
    inflight::Inner,
    origin::{Opened, OriginBody, OriginError},
};
use crate::{
    cluster::{Claim, Cluster, Lease, MemberId, PeerContent, PeerErrorKind, PeerFill, PeerRequest},
    meta::Meta,
    oci::Digest,
};

/// When who has the lease does not answer for so long, a fill goes to the remote by itself: longer than a lease lasts that
/// is not renewed.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same when it answers, and has nothing (it has just failed), or does not know us.
const PATIENCE_WITH_NOTHING: Duration = Duration::from_secs(3);
const CLAIM_TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// How far a fill is.
pub(super) struct Seen {
    /// The first byte that is wanted.
    pub(super) from: u64,
    /// The one that the remote is asked from: that, or the very first one.
    pub(super) ask_from: u64,
    /// The place of the origin that is asked first.
    pub(super) first_place: usize,
    /// The repository may see the digest.
    pub(super) has_right: bool,
}

/// Where the bytes come from now.
pub(super) enum Found {
    Here(Box<Opened>),
    /// Somebody else has them, and nothing proves yet that the repository may see them.
    NeedsRight,
}

/// The ways of one fill.
pub(super) struct Ways {
    cluster: Option<Cluster>,
    meta: Meta,
    lease: Option<Lease>,
    /// Seems to be gone.
    suspect: Option<MemberId>,
    /// Everybody was asked.
    asked_all: bool,
}

enum Way {
    Remote,
    Peer(PeerFill),
    NeedsRight,
}

/// The name of the lease for a digest.
pub(super) fn lease_key(digest: &Digest) -> String {
    format!("fill:{digest}")
}

impl Ways {
    pub(super) fn new(fills: &Inner) -> Self {
        Self {
            cluster: fills.cluster.clone(),
            meta: fills.meta.clone(),
            lease: None,
            suspect: None,
            asked_all: false,
        }
    }

    /// The bytes from wherever they are to be had now.
    pub(super) async fn open(
        &mut self,
        request: &FillRequest,
        seen: Seen,
    ) -> Result<Found, OriginError> {
        let FillRequest { digest, origin, .. } = request;
        let Seen {
            from,
            ask_from,
            first_place,
            ..
        } = seen;
        if let Some(opened) = origin.open_object(digest, from, first_place).await {
            return opened.map(Box::new).map(Found::Here);
        }
        let way = match self.cluster.clone() {
            Some(cluster) => self.find(&cluster, request, &seen).await,
            None => Way::Remote,
        };
        match way {
            Way::Remote => {
                let opened = origin.open_remote(digest, ask_from, first_place).await;
                opened.map(Box::new).map(Found::Here)
            }
            Way::NeedsRight => Ok(Found::NeedsRight),
            Way::Peer(fill) => Ok(Found::Here(Box::new(Opened {
                body: OriginBody::Peer(fill.body),
                offset: from,
                total_bytes: fill.total_bytes,
                place: None,
            }))),
        }
    }

    /// The bytes ended early.
    pub(super) fn broke(&mut self, error: &OriginError) {
        if let OriginError::Peer(error) = error {
            self.suspect = Some(error.member.clone());
        }
    }

    async fn find(&mut self, cluster: &Cluster, request: &FillRequest, seen: &Seen) -> Way {
        let begun = Instant::now();
        let mut pause = PAUSE;
        while !self.leads() {
            let key = lease_key(&request.digest);
            let claim = cluster.claim(&key, self.suspect.as_ref());
            let (member, url) = match timeout(CLAIM_TIMEOUT, claim).await {
                Ok(Ok(Claim::Mine(lease))) => {
                    self.lease = Some(lease);
                    break;
                }
                Ok(Ok(Claim::Other {
                    member,
                    advertise_url,
                })) => (member, advertise_url),
                Ok(Err(error)) => {
                    tracing::warn!(digest = %request.digest, %error, "cannot ask who fills a blob: {error}");
                    return Way::Remote;
                }
                Err(_elapsed) => return Way::Remote,
            };
            let wanted = PeerRequest {
                digest: &request.digest,
                from: seen.from,
                what: PeerContent::FillOrBlob {
                    repository: (!seen.has_right).then_some(&request.repository),
                },
            };
            let kind = match url {
                None => PeerErrorKind::Gone,
                Some(url) => match cluster.ask(&member, &url, wanted).await {
                    Ok(fill) => return Way::Peer(fill),
                    Err(error) => {
                        tracing::debug!(digest = %request.digest, %error, "cannot follow another replica's fill: {error}");
                        error.kind
                    }
                },
            };
            let patience = match kind {
                PeerErrorKind::NeedsRight => return Way::NeedsRight,
                PeerErrorKind::Nothing | PeerErrorKind::Unusable => PATIENCE_WITH_NOTHING,
                // Who was waited for in vain just now is not waited for again.
                PeerErrorKind::Gone if cluster.is_out_of_reach(&member) => Duration::ZERO,
                PeerErrorKind::Gone => PATIENCE,
            };
            if begun.elapsed() + pause > patience {
                tracing::warn!(digest = %request.digest, replica = %member, "another replica fills a blob and does not share it; it is fetched once more");
                if kind == PeerErrorKind::Gone {
                    cluster.note_out_of_reach(&member).await;
                }
                return Way::Remote;
            }
            self.suspect = (kind == PeerErrorKind::Gone).then_some(member);
            sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
        self.find_blob(cluster, &request.digest, seen).await
    }

    fn leads(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| !lease.is_lost())
    }

    /// What rows know of, and object storage does not have yet, is on somebody's disk.
    async fn find_blob(&mut self, cluster: &Cluster, digest: &Digest, seen: &Seen) -> Way {
        if self.asked_all || !matches!(self.meta.blob_size(digest).await, Ok(Some(_))) {
            return Way::Remote;
        }
        if !seen.has_right {
            return Way::NeedsRight;
        }
        self.asked_all = true;
        let found = cluster.ask_all(digest, seen.from).await;
        found.map_or(Way::Remote, Way::Peer)
    }
}
