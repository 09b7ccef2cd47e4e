//! Who did what: logins and changes, in the order in which they came.

use std::time::SystemTime;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, expire::Expire,
    operation::Operation, statement::Statement,
};

pub(super) const SQL_PUT: &str = "INSERT INTO audit (at, principal, source, action, subject, outcome, detail) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

pub(super) const SQL_COUNT: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM audit";

/// The newest first.
pub(super) const SQL_PAGE: &str = "SELECT id, at, principal, source, action, subject, outcome, detail \
     FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2";

/// The oldest that are old enough to go.
pub(super) const SQL_EXPIRED: &str = "SELECT id FROM audit WHERE at < $1 ORDER BY at LIMIT $2";

pub(super) const SQL_DELETE: &str = "DELETE FROM audit WHERE id = $1";

/// One thing that somebody did or tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When; kept to the millisecond.
    pub at: SystemTime,
    pub principal: String,
    /// The address that it came from, where one is known.
    pub source: Option<String>,
    /// Such as `login` or `user.create`.
    pub action: String,
    /// Whom or what it was done to.
    pub subject: String,
    /// `done`, or why not.
    pub outcome: String,
    /// JSON.
    pub detail: Option<String>,
}

/// An entry with its place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub id: i64,
    pub entry: AuditEntry,
}

/// id, at, principal, source, action, subject, outcome, detail
type Columns = (
    i64,
    i64,
    String,
    Option<String>,
    String,
    String,
    String,
    Option<String>,
);

/// [`Meta::audit`]
struct Put(AuditEntry);

impl Meta {
    /// Notes what somebody did.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), MetaError> {
        self.write(Put(entry)).await
    }

    /// Up to `limit` entries that came before the one with the id `before`, the newest first.
    pub async fn audits(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, MetaError> {
        let statement = Statement::new(SQL_PAGE)
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(statement).await?;
        Ok(rows.into_iter().map(row).collect())
    }

    /// How many entries there are.
    pub async fn audit_count(&self) -> Result<u64, MetaError> {
        let row: Option<(i64,)> = self.fetch_optional(Statement::new(SQL_COUNT)).await?;
        column::size_read(row.map_or(0, |(count,)| count))
    }

    /// Deletes entries from before this time, a bounded number of them; how many. Nothing is left at 0.
    pub async fn audit_expire(&self, before: SystemTime) -> Result<u64, MetaError> {
        self.write(Expire {
            select: SQL_EXPIRED,
            delete: SQL_DELETE,
            before,
        })
        .await
    }
}

fn row(columns: Columns) -> AuditRow {
    let (id, at, principal, source, action, subject, outcome, detail) = columns;
    AuditRow {
        id,
        entry: AuditEntry {
            at: column::time(at),
            principal,
            source,
            action,
            subject,
            outcome,
            detail,
        },
    }
}

impl Operation for Put {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        put(connection, &self.0).await
    }
}

/// [`Meta::audit`], inside the transaction of what is noted.
pub(super) async fn put(connection: &mut Connection, entry: &AuditEntry) -> Result<(), MetaError> {
    Statement::new(SQL_PUT)
        .bind(column::milliseconds(entry.at))
        .bind(entry.principal.as_str())
        .bind(entry.source.as_deref())
        .bind(entry.action.as_str())
        .bind(entry.subject.as_str())
        .bind(entry.outcome.as_str())
        .bind(entry.detail.as_deref())
        .execute(connection)
        .await?;
    Ok(())
}
