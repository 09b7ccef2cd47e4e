//! The management API: `/api/v1/…`, JSON, described by `/api/v1/openapi.json`. Layer 4. Called by `app` as one router, on the
//! main listener alone; asks `access` who calls, and puts on the wire what `mirror`, `push`, `replication`, `settings`, `transfer`
//! and `upkeep` know or do.
//! `problem` is the only place where a failure becomes a status.
//!
//! One file per resource: its objects, its queries, its handlers. The command line reads the same objects.

mod amount;
mod artifact;
mod audit;
mod audits;
mod authenticate;
mod body;
mod cache;
mod entry;
mod events;
mod execution;
mod executions;
mod fills;
mod labels;
mod login;
mod openapi;
mod page;
mod problem;
mod progress;
mod projects;
mod providers;
mod query;
mod remote_status;
mod remote_test;
mod remote_use;
mod remotes;
mod repositories;
mod rule;
mod rule_sync;
mod rules;
mod search;
mod status;
mod tasks;
mod timestamp;
mod tokens;
mod upkeep;
mod users;
mod warm;

pub use amount::{Count, Rate, Size};
pub use artifact::{Artifact, ArtifactPlatform, ArtifactReferrer, Layer};
pub use audits::AuditEntry;
pub use entry::{CacheEntry, CacheState, ContentKind, MAX_MISSING, MissingContent};
pub use events::LiveEvent;
pub use execution::{Execution, ExecutionTasks, Plan, PlanItem, PlanTotals};
pub use executions::{Begun, ExecutionFields, Retried};
pub use fills::Fill;
pub use login::SessionInfo;
pub use page::Items;
pub use problem::{FieldError, ProblemDetails};
pub use projects::{
    Freshness, FreshnessFields, Kind, ManagedBy, Project, ProjectFields, ProjectMember, Retention,
    RetentionFields, Visibility,
};
pub use providers::{Provider, ProviderAbilities};
pub use remote_status::{RateLimit, RemoteStatus, UrlStatus};
pub use remote_test::{Auth, RemoteRights, Tested};
pub use remotes::{Remote, RemoteFields};
pub use repositories::{
    ListedRepository, Repository, RepositoryFields, RepositoryTag, VisibilityField,
};
pub use rule::{
    Rule, RuleDestination, RuleFields, RuleFilter, RuleSource, RuleSwitch, RuleTrigger,
};
pub use rule_sync::RuleSync;
pub use search::{Found, FoundProject};
pub use status::{DatabaseStatus, ProjectBudget, Replica, Status, StoreStatus, Totals};
pub use tasks::Task;
pub use timestamp::Timestamp;
pub use tokens::{CreatedToken, Token, TokenFields};
pub use upkeep::{Collected, DueTag, Evicted, Retired, Scrubbed};
pub use users::{PasswordFields, Rights, User, UserFields};
pub use warm::WarmFields;

use std::{sync::Arc, time::SystemTime};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, header};
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    audit::record,
    authenticate::{admit_admins, authenticate},
    problem::Problem,
};
use crate::{
    access::{Accounts, Gate, Projects, Site},
    client::Remotes,
    config,
    meta::Meta,
    mirror::Mirror,
    push::Pushes,
    replication::Replication,
    settings::Settings,
    telemetry::Metrics,
    transfer::Fills,
    upkeep::{Evictor, Orphans, Retainer, Scrubber},
};

/// Where the API is mounted.
pub const PREFIX: &str = "/api/v1";

/// What the API needs from the rest.
pub struct Parts {
    pub gate: Arc<Gate>,
    pub site: Site,
    pub accounts: Accounts,
    pub mirror: Mirror,
    pub pushes: Pushes,
    pub settings: Settings,
    pub replication: Replication,
    pub projects: Projects,
    pub fills: Fills,
    pub remotes: Remotes,
    pub meta: Meta,
    pub metrics: Metrics,
    pub storage: config::Storage,
    pub database: config::Database,
    pub evictor: Evictor,
    pub orphans: Orphans,
    pub retainer: Retainer,
    pub scrubber: Scrubber,
    pub started_at: SystemTime,
    /// The server ends: who only listens is told to go, before anything is cut.
    pub leaving: CancellationToken,
    /// Ends what a call has begun.
    pub shutdown: CancellationToken,
    /// Holds writes, which go on when their client leaves.
    pub tasks: TaskTracker,
}

/// What handlers share.
struct Api {
    parts: Parts,
    /// One scrub at a time.
    scrub_turn: Mutex<()>,
    listeners: events::Listeners,
}

/// `/api/v1/…`
pub fn router(parts: Parts) -> Router {
    let gate = Arc::clone(&parts.gate);
    let api = Arc::new(Api {
        parts,
        scrub_turn: Mutex::default(),
        listeners: events::Listeners::default(),
    });
    let (routes, mut document) = resources().split_for_parts();
    openapi::complete(&mut document.paths);
    let document = document
        .to_json()
        .expect("a document of strings and maps is JSON");
    let routes = routes
        .route_layer(from_fn_with_state(Arc::clone(&api), record))
        .route_layer(from_fn_with_state(gate, authenticate))
        .merge(login::routes())
        .route("/docs", get(async || docs()))
        .route("/openapi.json", get(async move || json(document.clone())))
        .fallback(async || Problem::not_found("the API has nothing of this name"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(api);
    Router::new().nest(PREFIX, routes)
}

/// Every call, as it is served and as it is described.
fn resources() -> OpenApiRouter<Arc<Api>> {
    let own = OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(projects::list))
        .routes(routes!(projects::show, projects::replace))
        .routes(routes!(repositories::list, repositories::create))
        .routes(routes!(
            repositories::show,
            repositories::replace,
            repositories::delete
        ))
        .routes(routes!(artifact::show, artifact::delete))
        .routes(routes!(labels::replace))
        .routes(routes!(search::search))
        .routes(routes!(providers::list));
    let own = own
        .routes(routes!(login::show, login::delete))
        .routes(routes!(users::change_own))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::delete));
    let own = own
        .routes(routes!(rules::list, rules::create))
        .routes(routes!(
            rules::show,
            rules::replace,
            rules::switch,
            rules::delete
        ))
        .routes(routes!(rules::tasks))
        .routes(routes!(rule_sync::show))
        .routes(routes!(executions::begin))
        .routes(routes!(executions::list))
        .routes(routes!(executions::show))
        .routes(routes!(executions::plan))
        .routes(routes!(executions::apply))
        .routes(routes!(executions::stop))
        .routes(routes!(executions::retry))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::log))
        .routes(routes!(events::listen));
    own.merge(for_admins().route_layer(from_fn(admit_admins)))
}

/// What takes an admin of the system.
fn for_admins() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(status::show))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::show, users::replace, users::delete))
        .routes(routes!(audits::list))
        .routes(routes!(projects::create))
        .routes(routes!(projects::delete))
        .routes(routes!(remotes::list, remotes::create))
        .routes(routes!(remote_test::tried))
        .routes(routes!(remotes::show, remotes::replace, remotes::delete))
        .routes(routes!(remote_test::known))
        .routes(routes!(cache::list))
        .routes(routes!(cache::show, cache::purge))
        .routes(routes!(cache::refresh))
        .routes(routes!(warm::begin))
        .routes(routes!(cache::pin, cache::unpin))
        .routes(routes!(fills::list))
        .routes(routes!(upkeep::evict))
        .routes(routes!(upkeep::orphans))
        .routes(routes!(upkeep::retention))
        .routes(routes!(upkeep::scrub))
}

/// A page that shows the document; it loads nothing from elsewhere.
fn docs() -> Response {
    const PAGE: &str = include_str!("docs.html");
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE).into_response()
}

fn json(text: String) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
