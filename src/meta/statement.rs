//! A statement and its values: one text, run by either database.

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream::{self, BoxStream},
};
use sqlx::{
    Arguments, Encode, FromRow, SqlSafeStr, SqlStr, Type,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use super::connection::Connection;
use crate::oci::{Digest, Name, Tag};

/// What a row is read into: a tuple of `i64`, `bool`, `String`, `Vec<u8>` and `Option`s of these.
pub(super) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

impl<T> Row for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

/// A value of a placeholder; `None` is NULL.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Int(Option<i64>),
    Bool(Option<bool>),
    Text(Option<String>),
    Bytes(Option<Bytes>),
}

/// SQL with the values of its placeholders `$1`, `$2`, … in this order.
///
/// It is prepared once per connection and then kept there.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    sql: SqlStr,
    values: Vec<Value>,
}

/// Runs on either connection. The values are encoded at once: the future borrows the connection only.
macro_rules! run {
    ($statement:ident, $connection:ident, $query:ident, $fetch:ident) => {{
        let sql = $statement.sql.clone();
        match $connection {
            Connection::Sqlite(connection) => {
                let arguments = $statement.arguments::<SqliteArguments>();
                async move {
                    let query = sqlx::$query(sql, arguments?);
                    query.$fetch(&mut **connection).await
                }
                .boxed()
            }
            Connection::Postgres(connection) => {
                let arguments = $statement.arguments::<PgArguments>();
                async move {
                    let query = sqlx::$query(sql, arguments?);
                    query.$fetch(&mut **connection).await
                }
                .boxed()
            }
        }
    }};
}

impl Statement {
    pub(super) fn new(sql: impl SqlSafeStr) -> Self {
        Self {
            sql: sql.into_sql_str(),
            values: Vec::new(),
        }
    }

    /// Adds the value of the next placeholder.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The first row, if there is one.
    pub(super) fn fetch_optional<'c, T: Row>(
        &self,
        connection: &'c mut Connection,
    ) -> BoxFuture<'c, Result<Option<T>, sqlx::Error>> {
        run!(self, connection, query_as_with, fetch_optional)
    }

    /// The row that must be there.
    pub(super) fn fetch_one<'c, T: Row>(
        &self,
        connection: &'c mut Connection,
    ) -> BoxFuture<'c, Result<T, sqlx::Error>> {
        run!(self, connection, query_as_with, fetch_one)
    }

    /// All rows, for statements that bound their number.
    pub(super) fn fetch_all<'c, T: Row>(
        &self,
        connection: &'c mut Connection,
    ) -> BoxFuture<'c, Result<Vec<T>, sqlx::Error>> {
        run!(self, connection, query_as_with, fetch_all)
    }

    /// The rows one after the other.
    pub(super) fn fetch<'c, T: Row>(
        &self,
        connection: &'c mut Connection,
    ) -> BoxStream<'c, Result<T, sqlx::Error>> {
        let sql = self.sql.clone();
        let wrong = |error| stream::once(ready(Err(error))).boxed();
        match connection {
            Connection::Sqlite(connection) => match self.arguments::<SqliteArguments>() {
                Ok(arguments) => sqlx::query_as_with(sql, arguments).fetch(&mut **connection),
                Err(error) => wrong(error),
            },
            Connection::Postgres(connection) => match self.arguments::<PgArguments>() {
                Ok(arguments) => sqlx::query_as_with(sql, arguments).fetch(&mut **connection),
                Err(error) => wrong(error),
            },
        }
    }

    /// How many rows were changed.
    pub(super) async fn execute(&self, connection: &mut Connection) -> Result<u64, sqlx::Error> {
        let sql = self.sql.clone();
        match connection {
            Connection::Sqlite(connection) => {
                let query = sqlx::query_with(sql, self.arguments::<SqliteArguments>()?);
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
            Connection::Postgres(connection) => {
                let query = sqlx::query_with(sql, self.arguments::<PgArguments>()?);
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
        }
    }

    /// The values in the form that this database takes.
    fn arguments<A>(&self) -> Result<A, sqlx::Error>
    where
        A: Arguments,
        for<'t> Option<i64>: Encode<'t, A::Database> + Type<A::Database>,
        for<'t> Option<bool>: Encode<'t, A::Database> + Type<A::Database>,
        for<'t> Option<&'t str>: Encode<'t, A::Database> + Type<A::Database>,
        for<'t> Option<&'t [u8]>: Encode<'t, A::Database> + Type<A::Database>,
    {
        let mut arguments = A::default();
        for value in &self.values {
            let added = match value {
                Value::Int(value) => arguments.add(*value),
                Value::Bool(value) => arguments.add(*value),
                Value::Text(value) => arguments.add(value.as_deref()),
                Value::Bytes(value) => arguments.add(value.as_deref()),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(Some(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<&Name> for Value {
    fn from(value: &Name) -> Self {
        value.as_str().into()
    }
}

impl From<&Tag> for Value {
    fn from(value: &Tag) -> Self {
        value.as_str().into()
    }
}

impl From<&Digest> for Value {
    fn from(value: &Digest) -> Self {
        value.to_string().into()
    }
}

impl From<Option<&Digest>> for Value {
    fn from(value: Option<&Digest>) -> Self {
        value.map(ToString::to_string).into()
    }
}

impl From<Option<Bytes>> for Value {
    fn from(value: Option<Bytes>) -> Self {
        Self::Bytes(value)
    }
}

impl From<Bytes> for Value {
    fn from(value: Bytes) -> Self {
        Self::Bytes(Some(value))
    }
}
