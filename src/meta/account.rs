//! Users: names, hashes of passwords, and what they may do, as JSON that `access` reads.

use std::time::SystemTime;

use super::{
    AuditEntry, Meta, MetaError, audit, changes::Changes, column, connection::Connection,
    operation::Operation, statement::Statement, token,
};
use crate::config::Secret;

pub(super) const SQL_COUNT: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM account";

pub(super) const SQL_GET: &str =
    "SELECT name, password, admin, rights, imported, created_at FROM account WHERE name = $1";

pub(super) const SQL_PAGE: &str = "SELECT name, password, admin, rights, imported, created_at \
     FROM account WHERE name > $1 ORDER BY name LIMIT $2";

pub(super) const SQL_PUT: &str = "INSERT INTO account (name, password, admin, rights, imported, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING";

pub(super) const SQL_SET_RIGHTS: &str =
    "UPDATE account SET admin = $2, rights = $3 WHERE name = $1";

pub(super) const SQL_SET_PASSWORD: &str =
    "UPDATE account SET password = $2, imported = $3 WHERE name = $1";

pub(super) const SQL_DELETE: &str = "DELETE FROM account WHERE name = $1";

/// A user as it is kept.
#[derive(Debug, Clone)]
pub struct AccountRow {
    pub name: String,
    /// How the password is checked: a PHC string, or bcrypt's. `None`: nobody can log in by this name.
    pub password: Option<Secret>,
    pub is_admin: bool,
    /// JSON; what it means is up to `access`.
    pub rights: String,
    /// The password comes from the htpasswd file.
    pub is_imported: bool,
    pub created_at: SystemTime,
}

/// What is changed of a user.
#[derive(Debug, Clone)]
pub enum AccountChange {
    Rights {
        is_admin: bool,
        rights: String,
    },
    Password(Option<Secret>),
    /// As `Password`, by the htpasswd file.
    Imported(Option<Secret>),
}

/// What becomes of the rights of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightsChange {
    pub name: String,
    /// What they are, to the byte.
    pub before: String,
    pub after: String,
}

/// name, password, admin, rights, imported, `created_at`
type Columns = (String, Option<String>, bool, String, bool, i64);

fn row((name, password, is_admin, rights, is_imported, created_at): Columns) -> AccountRow {
    AccountRow {
        name,
        password: password.map(Secret::new),
        is_admin,
        rights,
        is_imported,
        created_at: column::time(created_at),
    }
}

/// [`Meta::account_create`]
struct Create {
    row: AccountRow,
    audit: AuditEntry,
}

/// [`Meta::account_change`]
struct Change {
    name: String,
    to: AccountChange,
    audit: AuditEntry,
}

/// [`Meta::account_rights`]
struct ChangeRights {
    changes: Vec<RightsChange>,
    audit: AuditEntry,
}

/// [`Meta::account_delete`]
struct Delete {
    name: String,
    audit: AuditEntry,
}

impl Meta {
    /// The user of this name.
    pub async fn account(&self, name: &str) -> Result<Option<AccountRow>, MetaError> {
        let read = async {
            let statement = Statement::new(SQL_GET).bind(name);
            let columns: Option<Columns> = self.fetch_optional(statement).await?;
            Ok(columns.map(row))
        };
        let hot = &self.hot().accounts;
        hot.get_or_read(name.to_owned(), read).await
    }

    /// Up to `limit` users after the name `after`, sorted by name as bytes.
    pub async fn accounts(&self, after: &str, limit: u32) -> Result<Vec<AccountRow>, MetaError> {
        let statement = Statement::new(SQL_PAGE).bind(after).bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(statement).await?;
        Ok(rows.into_iter().map(row).collect())
    }

    /// How many users there are.
    pub async fn account_count(&self) -> Result<u64, MetaError> {
        let row: Option<(i64,)> = self.fetch_optional(Statement::new(SQL_COUNT)).await?;
        column::size_read(row.map_or(0, |(count,)| count))
    }

    /// Makes a user; false if there is one of this name.
    pub async fn account_create(
        &self,
        row: AccountRow,
        audit: AuditEntry,
    ) -> Result<bool, MetaError> {
        self.write(Create { row, audit }).await
    }

    /// Changes a user; false if there is none of this name.
    pub async fn account_change(
        &self,
        name: &str,
        change: AccountChange,
        audit: AuditEntry,
    ) -> Result<bool, MetaError> {
        let name = name.to_owned();
        self.write(Change {
            name,
            to: change,
            audit,
        })
        .await
    }

    /// Changes the rights of several users; false, and nothing is done, if those of one are not what they were.
    pub async fn account_rights(
        &self,
        changes: Vec<RightsChange>,
        audit: AuditEntry,
    ) -> Result<bool, MetaError> {
        self.write(ChangeRights { changes, audit }).await
    }

    /// Deletes a user and all tokens that act for it; false if there is none of this name.
    pub async fn account_delete(&self, name: &str, audit: AuditEntry) -> Result<bool, MetaError> {
        let name = name.to_owned();
        self.write(Delete { name, audit }).await
    }
}

impl Operation for Create {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        changes.account(&self.row.name);
        let row = &self.row;
        let put = Statement::new(SQL_PUT)
            .bind(row.name.as_str())
            .bind(row.password.as_ref().map(Secret::expose))
            .bind(row.is_admin)
            .bind(row.rights.as_str())
            .bind(row.is_imported)
            .bind(column::milliseconds(row.created_at));
        let is_new = put.execute(connection).await? > 0;
        if is_new {
            audit::put(connection, &self.audit).await?;
        }
        Ok(is_new)
    }
}

impl Operation for Change {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        changes.account(&self.name);
        let name = self.name.as_str();
        let set_password = |password: &Option<Secret>, is_imported: bool| {
            Statement::new(SQL_SET_PASSWORD)
                .bind(name)
                .bind(password.as_ref().map(Secret::expose))
                .bind(is_imported)
        };
        let update = match &self.to {
            AccountChange::Rights { is_admin, rights } => Statement::new(SQL_SET_RIGHTS)
                .bind(name)
                .bind(*is_admin)
                .bind(rights.as_str()),
            AccountChange::Password(password) => set_password(password, false),
            AccountChange::Imported(password) => set_password(password, true),
        };
        let was_there = update.execute(connection).await? > 0;
        if was_there {
            audit::put(connection, &self.audit).await?;
        }
        Ok(was_there)
    }
}

impl Operation for ChangeRights {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let mut admins = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let get = Statement::new(SQL_GET).bind(change.name.as_str());
            let columns: Option<Columns> = get.fetch_optional(connection).await?;
            let row = columns.map(row).filter(|row| row.rights == change.before);
            let Some(row) = row else {
                return Ok(false);
            };
            admins.push(row.is_admin);
        }
        for (change, is_admin) in self.changes.iter().zip(admins) {
            changes.account(&change.name);
            let update = Statement::new(SQL_SET_RIGHTS)
                .bind(change.name.as_str())
                .bind(is_admin)
                .bind(change.after.as_str());
            update.execute(connection).await?;
        }
        audit::put(connection, &self.audit).await?;
        Ok(true)
    }
}

impl Operation for Delete {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        changes.account(&self.name);
        let delete = Statement::new(SQL_DELETE).bind(self.name.as_str());
        let was_there = delete.execute(connection).await? > 0;
        if was_there {
            token::delete_of(connection, changes, &self.name).await?;
            audit::put(connection, &self.audit).await?;
        }
        Ok(was_there)
    }
}
