//! What remotes said of their rate limits, to whichever replica: texts of `client`'s making, by a key of its making.

use super::{
    Meta, MetaError, changes::Changes, connection::Connection, member, operation::Operation,
    statement::Statement,
};

/// What was told later stays.
pub(super) const SQL_PUT: &str = "INSERT INTO remote_state (key, body, told_at) VALUES ($1, $2, $3) \
     ON CONFLICT (key) DO UPDATE SET body = excluded.body, told_at = excluded.told_at";

pub(super) const SQL_SINCE: &str = "SELECT key, body, told_at FROM remote_state \
     WHERE told_at >= $1 ORDER BY told_at LIMIT 1000";

pub(super) const SQL_DELETE_PAST: &str = "DELETE FROM remote_state WHERE told_at <= $1";

/// What one URL of a remote said to one credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteState {
    pub key: String,
    pub body: String,
}

impl Meta {
    /// Writes down what was said since the last time.
    pub async fn remote_states_put(&self, states: Vec<RemoteState>) -> Result<(), MetaError> {
        self.write(Put(states)).await
    }

    /// What was written down at `since` or later, the oldest first, and the `since` of the next question; 0 at first.
    pub async fn remote_states_since(
        &self,
        since: i64,
    ) -> Result<(Vec<RemoteState>, i64), MetaError> {
        let rows: Vec<(String, String, i64)> = self
            .fetch_all(Statement::new(SQL_SINCE).bind(since))
            .await?;
        let latest = rows.last().map_or(since, |row| row.2);
        let state = |(key, body, _)| RemoteState { key, body };
        Ok((rows.into_iter().map(state).collect(), latest))
    }
}

struct Put(Vec<RemoteState>);

impl Operation for Put {
    type Output = ();

    async fn execute(&self, connection: &mut Connection, _: &mut Changes) -> Result<(), MetaError> {
        let now = member::now(connection).await?;
        for state in &self.0 {
            Statement::new(SQL_PUT)
                .bind(&*state.key)
                .bind(&*state.body)
                .bind(now)
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}
