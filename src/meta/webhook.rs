//! Webhooks: how far each has got with the notices. Who sends for one holds its row for a time.

use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;

use super::{
    Meta, MetaError, Position, changes::Changes, column, connection::Connection, event, member,
    notice, operation::Operation, statement::Statement,
};

pub(super) const SQL_NAMES: &str = "SELECT name FROM webhook ORDER BY name";

pub(super) const SQL_PUT: &str = "INSERT INTO webhook (name, passed_event, passed_execution) \
     VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";

pub(super) const SQL_DELETE: &str = "DELETE FROM webhook WHERE name = $1";

/// Those that have something before them and that nobody sends for.
pub(super) const SQL_DUE: &str = "SELECT webhook.name FROM webhook CROSS JOIN clock \
     WHERE webhook.due_at <= clock.now AND webhook.held_until <= clock.now AND \
     (EXISTS (SELECT 1 FROM event WHERE event.id > webhook.passed_event) \
     OR EXISTS (SELECT 1 FROM execution_event WHERE execution_event.id > webhook.passed_execution)) \
     ORDER BY webhook.name";

pub(super) const SQL_HOLD: &str = "UPDATE webhook SET holder = $3, held_until = $4, token = token + 1 \
     WHERE name = $1 AND due_at <= $2 AND held_until <= $2 \
     RETURNING passed_event, passed_execution, attempts, token";

pub(super) const SQL_KEEP: &str = "UPDATE webhook SET passed_event = $3, passed_execution = $4, \
     attempts = $5, due_at = $6, held_until = $7 WHERE name = $1 AND token = $2";

pub(super) const SQL_LEFT: &str = "UPDATE webhook SET held_until = 0 WHERE held_until > 0";

/// A webhook in the hands of whoever sends for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldWebhook {
    pub name: String,
    pub passed: Position,
    /// How often the next notice was sent in vain.
    pub attempts: u64,
    /// Every write of the holder names it.
    pub token: i64,
}

/// What the holder does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookNext {
    /// It goes on, for at most so long.
    Hold(Duration),
    /// It lets go; nobody sends for so long.
    Rest(Duration),
}

/// [`Meta::webhooks_set`]
struct Set(BTreeSet<String>);

/// [`Meta::webhook_hold`]
struct Hold {
    name: String,
    holder: Uuid,
    time: Duration,
}

/// [`Meta::webhook_keep`]
struct Keep(HeldWebhook, WebhookNext);

impl Meta {
    /// These are the webhooks from now on: new ones begin with what happens next, those that are not named are forgotten.
    pub async fn webhooks_set(&self, names: BTreeSet<String>) -> Result<(), MetaError> {
        self.write(Set(names)).await
    }

    /// Lets all of them go. Only for the one process that uses the database, before it begins.
    pub async fn webhooks_left(&self) -> Result<(), MetaError> {
        self.write(Statement::new(SQL_LEFT)).await.map(drop)
    }

    /// Those that have something before them, that are due, and that nobody sends for.
    pub async fn webhooks_due(&self) -> Result<Vec<String>, MetaError> {
        let rows: Vec<(String,)> = self.fetch_all(Statement::new(SQL_DUE)).await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// Takes a webhook for so long. `None`: another holder was first.
    pub async fn webhook_hold(
        &self,
        name: &str,
        holder: Uuid,
        time: Duration,
    ) -> Result<Option<HeldWebhook>, MetaError> {
        self.write(Hold {
            name: name.to_owned(),
            holder,
            time,
        })
        .await
    }

    /// Writes how far it has got. False: it is no longer the holder's.
    pub async fn webhook_keep(
        &self,
        held: HeldWebhook,
        next: WebhookNext,
    ) -> Result<bool, MetaError> {
        self.write(Keep(held, next)).await
    }
}

impl Operation for Set {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let known: Vec<(String,)> = Statement::new(SQL_NAMES).fetch_all(connection).await?;
        for (name,) in known.iter().filter(|(name,)| !self.0.contains(name)) {
            let delete = Statement::new(SQL_DELETE).bind(name.as_str());
            delete.execute(connection).await?;
        }
        let events = event::newest(connection).await?;
        let executions = notice::newest(connection).await?;
        for name in &self.0 {
            Statement::new(SQL_PUT)
                .bind(name.as_str())
                .bind(events)
                .bind(executions)
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}

impl Operation for Hold {
    type Output = Option<HeldWebhook>;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Option<HeldWebhook>, MetaError> {
        let now = member::now(connection).await?;
        let hold = Statement::new(SQL_HOLD)
            .bind(self.name.as_str())
            .bind(now)
            .bind(self.holder.to_string())
            .bind(now + column::duration(self.time));
        let row: Option<(i64, i64, i64, i64)> = hold.fetch_optional(connection).await?;
        row.map(|(event, execution, attempts, token)| {
            Ok(HeldWebhook {
                name: self.name.clone(),
                passed: Position { event, execution },
                attempts: column::size_read(attempts)?,
                token,
            })
        })
        .transpose()
    }
}

impl Operation for Keep {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let Self(held, next) = self;
        let now = member::now(connection).await?;
        let (due_at, held_until) = match next {
            WebhookNext::Hold(time) => (now, now + column::duration(*time)),
            WebhookNext::Rest(time) => (now + column::duration(*time), 0),
        };
        let keep = Statement::new(SQL_KEEP)
            .bind(held.name.as_str())
            .bind(held.token)
            .bind(held.passed.event)
            .bind(held.passed.execution)
            .bind(column::size(held.attempts))
            .bind(due_at)
            .bind(held_until);
        Ok(keep.execute(connection).await? > 0)
    }
}
