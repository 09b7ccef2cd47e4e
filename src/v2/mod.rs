//! The Distribution API: `/v2/…`. Layer 4. Called by `app` as one router; parses a request into an `endpoint::Endpoint`,
//! finds out who asks (`access`) and about which repository (`mirror::resolve`), and puts what `mirror` or
//! `push` answers on the wire.
//! `error` is the only place where a failure becomes a status.

mod answer;
mod authorize;
mod base;
mod blobs;
mod catalog;
mod challenge;
mod creation;
mod deletes;
mod dispatch;
mod endpoint;
mod error;
mod hosted;
mod manifests;
mod multipart;
mod page;
mod peer;
mod range;
mod referrers;
mod tag_state;
mod tags;
mod token;
mod uploads;
mod writes;

pub use dispatch::{Served, router};
pub use error::{busy, internal_error, too_many_a_second, too_many_at_once};
pub use peer::{PeerParts, peer_router};

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::{
    access::{Gate, Projects, Site},
    meta::Meta,
    mirror::Mirror,
    push::Pushes,
    settings::Settings,
    telemetry::Metrics,
};

/// Which of the two listeners a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// `server.listen`
    Main,
    /// `server.mirror_listen`: mirror projects only, never challenges, ignores credentials.
    MirrorOnly,
}

/// What the Distribution API needs from the rest.
#[derive(Clone)]
pub struct Parts {
    pub mirror: Mirror,
    pub pushes: Pushes,
    pub projects: Projects,
    pub settings: Settings,
    /// A push by somebody who may make its project does so.
    pub auto_create_projects: bool,
    pub meta: Meta,
    pub gate: Arc<Gate>,
    pub metrics: Metrics,
    /// `host[:port]` by which clients may know this server, besides what `Host` says: `?ns=` with one of them counts as absent.
    pub own_hosts: Arc<[String]>,
    pub site: Site,
    /// Of what goes on after an answer.
    pub tasks: TaskTracker,
}

/// The state of the handlers.
struct Edge {
    parts: Parts,
    listener: Listener,
}
