//! `/status`: the server at a glance.

use std::{sync::Arc, time::SystemTime};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, Parts, remote_status::RemoteStatus, timestamp::Timestamp};
use crate::{cluster::Member, config::Database, telemetry::totals};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The server at a glance.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub version: String,
    /// Of the process that answers
    pub uptime_ms: u64,
    pub store: StoreStatus,
    pub database: DatabaseStatus,
    pub replicas: Vec<Replica>,
    /// Since the process that answers was started
    pub totals: Totals,
    pub fills_running: u64,
    pub remotes: Vec<RemoteStatus>,
}

/// Where content is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// `local`: files below `path`; `objects`: object storage, and files below `path` before it
    #[schema(example = "local")]
    pub kind: String,
    /// The data folder
    pub path: String,
    /// What counts in the budget of all projects: cached content, and room that running downloads will fill
    pub used_bytes: u64,
    /// `storage.max_bytes`; null: unlimited
    pub max_bytes: Option<u64>,
    /// Projects with a budget of their own
    pub projects: Vec<ProjectBudget>,
}

/// The budget of one project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProjectBudget {
    pub project: String,
    pub used_bytes: u64,
    pub max_bytes: u64,
}

/// Where rows are.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DatabaseStatus {
    #[schema(example = "sqlite")]
    pub kind: String,
    pub ready: bool,
}

/// One of the processes that serve this registry together.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Replica {
    pub version: String,
    pub started_at: Timestamp,
    /// Where the others reach it; null: it is the only one
    pub url: Option<String>,
    /// When it last said that it is there
    pub seen_at: Timestamp,
    /// The process that answers
    pub answers: bool,
}

/// Requests for content by how they were answered, and bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// From here
    pub hits: u64,
    /// From the remote
    pub misses: u64,
    /// From a download that somebody else's request had started
    pub joined: u64,
    /// From here although the remote could not be asked
    pub stale: u64,
    /// From the remote, not kept
    pub bypassed: u64,
    /// Answered with 404
    pub absent: u64,
    pub errors: u64,
    pub bytes_from_remotes: u64,
    pub bytes_to_clients: u64,
}

#[utoipa::path(
    get, path = "/status", tag = "status", operation_id = "getStatus",
    responses((status = 200, description = "The server at a glance", body = Status))
)]
pub(super) async fn show(State(api): State<Arc<Api>>) -> Json<Status> {
    let parts = &api.parts;
    let uptime = SystemTime::now().duration_since(parts.started_at);
    let uptime = uptime.unwrap_or_default().as_millis();
    Json(Status {
        version: VERSION.to_owned(),
        uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
        store: store(parts),
        database: database(parts).await,
        replicas: replicas(parts),
        totals: parts.metrics.totals().into(),
        fills_running: parts.fills.running().len() as u64,
        remotes: remotes(parts),
    })
}

/// All that are there, the oldest first.
fn replicas(parts: &Parts) -> Vec<Replica> {
    let Some(cluster) = parts.fills.cluster() else {
        return vec![Replica {
            version: VERSION.to_owned(),
            started_at: parts.started_at.into(),
            url: None,
            seen_at: SystemTime::now().into(),
            answers: true,
        }];
    };
    let replica = |member: &Member| Replica {
        version: member.version.clone(),
        started_at: member.started_at.into(),
        url: Some(member.advertise_url.to_string()),
        seen_at: member.seen_at.into(),
        answers: member.id == *cluster.me(),
    };
    cluster.members().iter().map(replica).collect()
}

fn remotes(parts: &Parts) -> Vec<RemoteStatus> {
    parts.remotes.all().iter().map(Into::into).collect()
}

fn store(parts: &Parts) -> StoreStatus {
    let space = parts.fills.space();
    let projects = space.project_standings().into_iter();
    let mut projects: Vec<_> = projects
        .map(|(project, standing)| ProjectBudget {
            project,
            used_bytes: standing.used(),
            max_bytes: standing.limit,
        })
        .collect();
    projects.sort_unstable_by(|one, other| one.project.cmp(&other.project));
    StoreStatus {
        kind: if parts.storage.objects.is_some() {
            "objects".to_owned()
        } else {
            "local".to_owned()
        },
        path: parts.storage.path.display().to_string(),
        used_bytes: space.standing().used(),
        max_bytes: parts.storage.max_bytes,
        projects,
    }
}

async fn database(parts: &Parts) -> DatabaseStatus {
    let kind = match parts.database {
        Database::Sqlite(_) => "sqlite",
        Database::Postgres(_) => "postgres",
    };
    DatabaseStatus {
        kind: kind.to_owned(),
        ready: parts.meta.is_ready().await,
    }
}

impl From<totals::Totals> for Totals {
    fn from(totals: totals::Totals) -> Self {
        Self {
            hits: totals.hits,
            misses: totals.misses,
            joined: totals.joined,
            stale: totals.stale,
            bypassed: totals.bypassed,
            absent: totals.absent,
            errors: totals.errors,
            bytes_from_remotes: totals.bytes_from_remotes,
            bytes_to_clients: totals.bytes_to_clients,
        }
    }
}
