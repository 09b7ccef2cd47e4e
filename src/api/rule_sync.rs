//! `/rules/{name}/sync`: do the remotes have what a rule is to put there?

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, page::Items, problem::Problem, rules::find, timestamp::Timestamp};
use crate::{access::Caller, replication::Compared};

/// How one remote compares with what is here now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuleSync {
    pub remote: String,
    /// Nothing is missing or different, nor is there anything that the rule has still to delete
    pub in_sync: bool,
    /// Tags that are not there
    pub missing: u64,
    /// Tags that are something else there
    pub differing: u64,
    /// Tags that the rule put there and would not any more; and what else it is to delete there, between Entrepots
    pub extra: u64,
    /// For how long the first of what is missing or different has waited; 0: nothing does
    pub lag_ms: u64,
    /// When a task of the rule last succeeded there
    pub last_success_at: Option<Timestamp>,
    /// Since when all of it was asked for: of many tags some were by calls before this one
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_since: Option<Timestamp>,
    /// Why the remote could not be asked for everything; the rest is judged by what was noted. Of many tags each call goes on
    /// where the last one stopped
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[utoipa::path(
    get, path = "/rules/{name}/sync", tag = "rules", operation_id = "compareRule",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "Each remote, which was asked just now, for some seconds at most", body = Items<RuleSync>),
        (status = 404, description = "There is none of this name that the caller may change"),
        (status = 409, description = "The rule cannot be compared"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Items<RuleSync>>, Problem> {
    let known = find(&api, &caller, &name).await?;
    let compared = api.parts.replication.compare(&known).await?;
    let items = compared.into_iter().map(Into::into).collect();
    Ok(Json(Items { items }))
}

impl From<Compared> for RuleSync {
    fn from(compared: Compared) -> Self {
        let since = |at: SystemTime| SystemTime::now().duration_since(at).unwrap_or_default();
        let lag = compared.behind_since.map_or(Duration::ZERO, since);
        Self {
            remote: compared.remote,
            in_sync: compared.in_sync,
            missing: compared.missing,
            differing: compared.differing,
            extra: compared.extra,
            lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            last_success_at: compared.last_success_at.map(Into::into),
            asked_since: compared.asked_since.map(Into::into),
            message: compared.message,
        }
    }
}
