//! Rows: which repository may see what, what tags point to, what was learned from remotes and when. Layer 1.
//! Every SQL statement of the product is in this folder. SQLite or PostgreSQL; one task writes, commits are grouped.
//!
//! The text of a statement stands beside the functions that use it, as a constant `SQL_…` that `tests/plan.rs` lists, and
//! is the same for both databases: `$1` placeholders, `ON CONFLICT`, `RETURNING`; columns are BIGINT, TEXT, BOOLEAN and
//! bytes only. PostgreSQL is strict about types: `CAST(1 AS BIGINT)`, `CAST(SUM(x) AS BIGINT)`; `CROSS JOIN` takes no `ON`.
//! A row is read into a tuple of `i64`, `bool`, `String`, `Vec<u8>` and `Option`s of these.
//!
//! A read is a method of [`Meta`] in the file of its tables:
//! ```ignore
//! let row: Option<(String, i64)> = self
//!     .fetch_optional(Statement::new(SQL_GET).bind(repository).bind(digest))
//!     .await?;
//! ```
//! `fetch_all` is for what the statement itself bounds (LIMIT), `any` for a search that may end early. A row that every
//! hit asks for gets a cache in `changes.rs`.
//!
//! A write is a type that holds owned values and implements `Operation`, and a method of
//! [`Meta`] that gives it to `self.write(…)`. Its `execute` runs inside the writer's transaction, with statements run on
//! `connection`; what it returns is what the caller gets, after the commit. Functions that several operations share take
//! `connection` (and `changes`) too.
//! ```ignore
//! struct TagDelete { repository: Name, tag: Tag }
//!
//! impl Operation for TagDelete {
//!     type Output = ();
//!
//!     async fn execute(&self, connection: &mut Connection, changes: &mut Changes) -> Result<(), MetaError> {
//!         changes.tag(&self.repository, &self.tag);
//!         Statement::new(SQL_DELETE).bind(&self.repository).bind(&self.tag).execute(connection).await?;
//!         Ok(())
//!     }
//! }
//! ```
//! A write of one statement, to rows that no cache has, is the statement itself: `self.write(Statement::new(…).bind(…))`.
//! What is deleted because it is old is an `Expire`.
//! A test takes a `Database` and is named in its file's `on_both!` list.

pub mod account;
pub mod ahead;
pub mod announcement;
pub mod audit;
pub mod blob;
pub mod browse;
pub mod candidate;
pub mod delete;
pub mod delivery;
pub mod entry;
pub mod error;
pub mod event;
pub mod evict;
pub mod execution;
mod forget;
pub mod held;
pub mod image;
pub mod label;
pub mod lease;
mod left;
pub mod list;
pub mod manifest;
pub mod member;
pub mod notice;
pub mod object;
pub mod orphans;
pub mod pin;
pub mod presence;
pub mod project;
pub mod pushed;
pub mod remote;
pub mod remote_state;
pub mod repository;
pub mod retention;
pub mod revision;
pub mod rule;
pub mod sending;
pub mod settle;
pub mod signing;
pub mod tag;
pub mod tag_version;
pub mod task;
mod task_states;
pub mod token;
pub mod unasked;
pub mod upload;
pub mod upload_work;
pub mod uses;
pub mod webhook;

mod changes;
mod clearance;
mod column;
mod connection;
mod expire;
mod filled;
mod handle;
mod hot;
mod migration;
mod operation;
mod postgres;
mod sqlite;
mod statement;
#[cfg(test)]
mod tests;
mod writer;

pub use account::{AccountChange, AccountRow, RightsChange};
pub use ahead::TaskAhead;
pub use announcement::{Heard, Listener};
pub use audit::{AuditEntry, AuditRow};
pub use browse::Browsed;
pub use candidate::TagCandidate;
pub use delete::{Deletable, Deleted, Deletion};
pub use delivery::{Claim, DeliveryKey, DeliveryRow, EventPlan};
pub use entry::{Held, Part, PartKind};
pub use error::MetaError;
pub use event::{EventKind, EventRow};
pub use evict::{LooseLink, Root};
pub use execution::{ExecutionRow, ExecutionStatus, ExecutionWrite};
pub use handle::Meta;
pub use held::{HeldTask, TaskEnd};
pub use image::{Removal, Removed};
pub use label::MAX_LABELS;
pub use lease::{HeldLease, LeaseRequest, LeaseTaken};
pub use list::{ListKind, ListRow};
pub use manifest::{ManifestCommit, ManifestRow, Referenced};
pub use member::{Beat, MemberRow, Pulse};
pub use notice::{ExecutionEvent, ExecutionStep, Notice, Position};
pub use object::{BlobObject, Garbage};
pub use orphans::{BlobPage, Grace, OldLink};
pub use presence::{Counted, UsagePage};
pub use project::ProjectRow;
pub use pushed::{BlobPush, ManifestPush, ManifestPushed};
pub use remote::{RemoteRow, RemoteWrite};
pub use remote_state::RemoteState;
pub use repository::RepositoryRow;
pub use retention::PushedTag;
pub use rule::{RuleDue, RuleFired, RuleRow, RuleWrite};
pub use sending::SendingRow;
pub use settle::Planned;
pub use tag::{ManifestSummary, TagRow};
pub use task::{Action, TaskBytes, TaskCounts, TaskItem, TaskRow, TaskStatus, TaskWrite};
pub use token::{SecretHash, TokenRow};
pub use unasked::UnaskedDeletes;
pub use upload::{UploadLimits, UploadRow};
pub use upload_work::{UploadHold, UploadHolder, UploadState};
pub use uses::Uses;
pub use webhook::{HeldWebhook, WebhookNext};
