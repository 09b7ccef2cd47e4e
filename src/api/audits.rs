//! `/audit`: who did what, the newest first.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    page::{Items, List, Page, PageQuery},
    problem::Problem,
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

#[utoipa::path(
    get, path = "/audit", tag = "audit", operation_id = "listAudit", params(PageQuery<i64>),
    responses(
        (status = 200, description = "Who did what, the newest first", body = Items<AuditEntry>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    query: PageQuery<i64>,
) -> Result<Page<AuditEntry>, Problem> {
    let accounts = &api.parts.accounts;
    let rows = accounts.audits(query.after, query.limit.and_one()).await?;
    let items: Vec<AuditEntry> = rows.into_iter().map(Into::into).collect();
    let total = accounts.audit_count().await?;
    let list = List {
        path: "/audit",
        parameters: &[],
        limit: query.limit,
    };
    Ok(list.page(items, total, |last| last.id.to_string()))
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
