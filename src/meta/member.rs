//! Members of the cluster: the processes that work on this database now.
//!
//! A member says every few seconds that it is there ([`Meta::member_beat`]); the same transaction renews its leases, tells
//! who else is there, and throws away what is past. All times are those of the database's clock.

use std::time::{Duration, SystemTime};

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, lease::HeldLease,
    operation::Operation, statement::Statement,
};

pub(super) const SQL_NOW: &str = "SELECT now FROM clock";

pub(super) const SQL_BEAT: &str = "INSERT INTO member (id, advertise_url, version, started_at, \
     seen_at) VALUES ($1, $2, $3, $4, $4) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";

pub(super) const SQL_LIVE: &str = "SELECT id, advertise_url, version, started_at, seen_at \
     FROM member WHERE seen_at > $1 ORDER BY started_at, id LIMIT 1000";

pub(super) const SQL_SAME_PLACE: &str =
    "SELECT id FROM member WHERE advertise_url = $1 AND id <> $2";

pub(super) const SQL_DELETE: &str = "DELETE FROM member WHERE id = $1";

pub(super) const SQL_DELETE_PAST: &str = "DELETE FROM member WHERE seen_at <= $1";

/// One member that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    pub id: String,
    /// Where the others reach it.
    pub advertise_url: String,
    /// Of its program.
    pub version: String,
    pub started_at: SystemTime,
    pub seen_at: SystemTime,
}

/// What a member says of itself, and how long things last.
#[derive(Debug, Clone)]
pub struct Beat {
    pub id: String,
    pub advertise_url: String,
    /// Of its program.
    pub version: String,
    /// Who was not heard of for so long is not there.
    pub member_expiry: Duration,
    /// So long a lease lasts from this beat on.
    pub lease_expiry: Duration,
    /// So long announcements are kept for those who could not read them yet.
    pub changes_kept: Duration,
}

/// What a beat was told.
#[derive(Debug, Clone)]
pub struct Pulse {
    /// The database's clock.
    pub now: SystemTime,
    /// All members that are there, this one too, the oldest first.
    pub members: Vec<MemberRow>,
    /// The leases of this member.
    pub leases: Vec<HeldLease>,
}

/// Rows of members and of states that nobody renews are forgotten after so long.
const FORGOTTEN_AFTER_MS: i64 = 24 * 60 * 60 * 1000;

impl Meta {
    /// Says that a member is there.
    pub async fn member_beat(&self, beat: Beat) -> Result<Pulse, MetaError> {
        self.write(beat).await
    }

    /// Takes the place of members at the same URL: they are earlier processes of the same replica, and their leases are
    /// free from now on. Gives how many were there.
    pub async fn member_replace(&self, id: &str, advertise_url: &str) -> Result<usize, MetaError> {
        self.write(Replace {
            id: id.to_owned(),
            advertise_url: advertise_url.to_owned(),
        })
        .await
    }

    /// A member ends: its leases are free.
    pub async fn member_leave(&self, id: &str) -> Result<(), MetaError> {
        self.write(Leave { id: id.to_owned() }).await
    }
}

impl Operation for Beat {
    type Output = Pulse;

    async fn execute(
        &self,
        connection: &mut Connection,
        _: &mut Changes,
    ) -> Result<Pulse, MetaError> {
        let now = now(connection).await?;
        Statement::new(SQL_BEAT)
            .bind(&*self.id)
            .bind(&*self.advertise_url)
            .bind(&*self.version)
            .bind(now)
            .execute(connection)
            .await?;
        let leases = super::lease::renew(connection, &self.id, now, self.lease_expiry).await?;
        let rows: Vec<(String, String, String, i64, i64)> = Statement::new(SQL_LIVE)
            .bind(now - column::duration(self.member_expiry))
            .fetch_all(connection)
            .await?;
        self.delete_past(connection, now).await?;
        let member = |(id, advertise_url, version, started_at, seen_at)| MemberRow {
            id,
            advertise_url,
            version,
            started_at: column::time(started_at),
            seen_at: column::time(seen_at),
        };
        Ok(Pulse {
            now: column::time(now),
            members: rows.into_iter().map(member).collect(),
            leases,
        })
    }
}

impl Beat {
    async fn delete_past(&self, connection: &mut Connection, now: i64) -> Result<(), MetaError> {
        let long_ago = now - FORGOTTEN_AFTER_MS;
        for (sql, until) in [
            (SQL_DELETE_PAST, long_ago),
            (super::lease::SQL_DELETE_PAST, long_ago),
            (super::remote_state::SQL_DELETE_PAST, long_ago),
            (
                super::announcement::SQL_DELETE_PAST,
                now - column::duration(self.changes_kept),
            ),
        ] {
            Statement::new(sql).bind(until).execute(connection).await?;
        }
        Ok(())
    }
}

/// [`Meta::member_replace`]
struct Replace {
    id: String,
    advertise_url: String,
}

impl Operation for Replace {
    type Output = usize;

    async fn execute(
        &self,
        connection: &mut Connection,
        _: &mut Changes,
    ) -> Result<usize, MetaError> {
        let earlier: Vec<(String,)> = Statement::new(SQL_SAME_PLACE)
            .bind(&*self.advertise_url)
            .bind(&*self.id)
            .fetch_all(connection)
            .await?;
        for (id,) in &earlier {
            leave(connection, id).await?;
        }
        Ok(earlier.len())
    }
}

/// [`Meta::member_leave`]
struct Leave {
    id: String,
}

impl Operation for Leave {
    type Output = ();

    async fn execute(&self, connection: &mut Connection, _: &mut Changes) -> Result<(), MetaError> {
        leave(connection, &self.id).await
    }
}

async fn leave(connection: &mut Connection, id: &str) -> Result<(), MetaError> {
    for sql in [super::lease::SQL_DELETE_OF, SQL_DELETE] {
        Statement::new(sql).bind(id).execute(connection).await?;
    }
    Ok(())
}

/// The database's clock, in milliseconds.
pub(super) async fn now(connection: &mut Connection) -> Result<i64, MetaError> {
    let (now,) = Statement::new(SQL_NOW).fetch_one(connection).await?;
    Ok(now)
}
