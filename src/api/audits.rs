//! `/audit`: who did what, the newest first.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use http::request;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    page::{Items, Limit, Page, next_page},
    problem::Problem,
    query::Fields,
    timestamp::Timestamp,
};
use crate::meta::AuditRow;

/// One thing that somebody did or tried.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Grows with time
    pub id: i64,
    pub at: Timestamp,
    pub principal: String,
    /// Where it came from
    pub source: Option<String>,
    /// Such as `login`, `user.create` or `PUT /projects/team`
    pub action: String,
    /// Whom or what it was done to
    pub subject: String,
    /// `done`, or why not
    pub outcome: String,
    /// What else is to be told
    pub detail: Option<serde_json::Value>,
}

/// Which page of the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// At most so many: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<i64>)]
    after: Option<i64>,
}

#[utoipa::path(
    get, path = "/audit", tag = "audit", operation_id = "listAudit", params(AuditQuery),
    responses(
        (status = 200, description = "Who did what, the newest first", body = Items<AuditEntry>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    query: AuditQuery,
) -> Result<Page<AuditEntry>, Problem> {
    let accounts = &api.parts.accounts;
    let mut rows = accounts.audits(query.after, query.limit.and_one()).await?;
    let limit = query.limit.get() as usize;
    let is_last = rows.len() <= limit;
    rows.truncate(limit);
    let items: Vec<AuditEntry> = rows.into_iter().map(Into::into).collect();
    let next = items.last().filter(|_| !is_last).map(|last| {
        let after = last.id.to_string();
        next_page("/audit", query.limit, &[("after", Some(after.as_str()))])
    });
    let total = accounts.audit_count().await?;
    Ok(Page { items, total, next })
}

impl From<AuditRow> for AuditEntry {
    fn from(AuditRow { id, entry }: AuditRow) -> Self {
        let detail = entry.detail.map(|detail| {
            serde_json::from_str(&detail).unwrap_or(serde_json::Value::String(detail))
        });
        Self {
            id,
            at: entry.at.into(),
            principal: entry.principal,
            source: entry.source,
            action: entry.action,
            subject: entry.subject,
            outcome: entry.outcome,
            detail,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for AuditQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
    }
}
