//! Leases: what only one member of the cluster does at a time.
//!
//! A lease is taken when nobody has it, or when who had it has not renewed it in time. Its token grows with each owner.

use std::time::Duration;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, member,
    operation::Operation, statement::Statement,
};

/// $5 is now; a lease of the member $6, of whom there is reason to think that it is gone, is free from $7 on. One that this
/// member has itself is left from a task that nobody waits for any more.
pub(super) const SQL_TAKE: &str = "INSERT INTO lease (key, member, token, expires_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (key) DO UPDATE SET member = excluded.member, \
     expires_at = excluded.expires_at, \
     token = CASE WHEN lease.token >= excluded.token THEN lease.token + 1 ELSE excluded.token END \
     WHERE lease.expires_at <= $5 OR lease.member = excluded.member \
     OR (lease.member = $6 AND lease.expires_at <= $7) RETURNING token";

pub(super) const SQL_GET: &str = "SELECT lease.member, member.advertise_url FROM lease \
     LEFT JOIN member ON member.id = lease.member WHERE lease.key = $1";

pub(super) const SQL_RELEASE: &str =
    "DELETE FROM lease WHERE key = $1 AND member = $2 AND token = $3";

pub(super) const SQL_RENEW: &str =
    "UPDATE lease SET expires_at = $3 WHERE member = $1 AND expires_at <= $2";

pub(super) const SQL_OF: &str = "SELECT key, token FROM lease WHERE member = $1";

pub(super) const SQL_DELETE_OF: &str = "DELETE FROM lease WHERE member = $1";

pub(super) const SQL_DELETE_PAST: &str = "DELETE FROM lease WHERE expires_at <= $1";

/// A lease that is wanted.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    pub key: String,
    pub member: String,
    pub expiry: Duration,
    /// A member of whom there is reason to think that it is gone: half of the time without a renewal is enough.
    pub suspect: Option<String>,
}

/// A lease of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    pub key: String,
    pub token: i64,
}

/// Who has a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseTaken {
    /// This member, from now on.
    Mine { token: i64 },
    /// Another one; `advertise_url` is missing when the member has left.
    Other {
        member: String,
        advertise_url: Option<String>,
    },
}

impl Meta {
    /// Takes a lease, or tells who has it.
    pub async fn lease_take(&self, request: LeaseRequest) -> Result<LeaseTaken, MetaError> {
        self.write(request).await
    }

    /// Gives leases back; those that somebody else has by now stay with them.
    pub async fn lease_release(
        &self,
        member: &str,
        leases: Vec<HeldLease>,
    ) -> Result<(), MetaError> {
        self.write(Release {
            member: member.to_owned(),
            leases,
        })
        .await
    }
}

impl Operation for LeaseRequest {
    type Output = LeaseTaken;

    async fn execute(
        &self,
        connection: &mut Connection,
        _: &mut Changes,
    ) -> Result<LeaseTaken, MetaError> {
        let now = member::now(connection).await?;
        let expiry = column::duration(self.expiry);
        let taken: Option<(i64,)> = Statement::new(SQL_TAKE)
            .bind(&*self.key)
            .bind(&*self.member)
            .bind(now)
            .bind(now + expiry)
            .bind(now)
            .bind(self.suspect.as_deref())
            .bind(now + expiry / 2)
            .fetch_optional(connection)
            .await?;
        if let Some((token,)) = taken {
            return Ok(LeaseTaken::Mine { token });
        }
        let (member, advertise_url) = Statement::new(SQL_GET)
            .bind(&*self.key)
            .fetch_one(connection)
            .await?;
        Ok(LeaseTaken::Other {
            member,
            advertise_url,
        })
    }
}

/// [`Meta::lease_release`]
struct Release {
    member: String,
    leases: Vec<HeldLease>,
}

impl Operation for Release {
    type Output = ();

    async fn execute(&self, connection: &mut Connection, _: &mut Changes) -> Result<(), MetaError> {
        for lease in &self.leases {
            Statement::new(SQL_RELEASE)
                .bind(&*lease.key)
                .bind(&*self.member)
                .bind(lease.token)
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}

/// Renews the leases of a member that have come to their half, and gives all of them.
pub(super) async fn renew(
    connection: &mut Connection,
    member: &str,
    now: i64,
    expiry: Duration,
) -> Result<Vec<HeldLease>, MetaError> {
    let expiry = column::duration(expiry);
    Statement::new(SQL_RENEW)
        .bind(member)
        .bind(now + expiry * 3 / 4)
        .bind(now + expiry)
        .execute(connection)
        .await?;
    let rows: Vec<(String, i64)> = Statement::new(SQL_OF)
        .bind(member)
        .fetch_all(connection)
        .await?;
    let held = |(key, token)| HeldLease { key, token };
    Ok(rows.into_iter().map(held).collect())
}
