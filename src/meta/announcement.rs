//! What replicas tell each other: which cached rows a commit has made untrue.
//!
//! ```text
//!   one replica      BEGIN ─ lock ─ writes ─ INSERT change ─ NOTIFY ─ COMMIT
//!   the others                                                  └──► (or each second) SELECT … WHERE id > last ──► outdate
//! ```
//! Write transactions are one after the other (ADR 0006) and take their id inside, so ids become visible in their order:
//! who has read up to an id has missed nothing before it. The notification carries nothing, it only says: look.

use sqlx::postgres::PgListener;

use super::{
    Meta, MetaError,
    changes::Changes,
    connection::{Connection, Pool},
    statement::Statement,
};
use crate::oci::{Name, Reference};

pub(super) const SQL_PUT: &str = "INSERT INTO change (member, body) VALUES ($1, $2)";

pub(super) const SQL_AFTER: &str =
    "SELECT id, member, body FROM change WHERE id > $1 ORDER BY id LIMIT $2";

pub(super) const SQL_NEWEST: &str = "SELECT id FROM change WHERE id > 0 ORDER BY id DESC LIMIT 1";

pub(super) const SQL_DELETE_PAST: &str = "DELETE FROM change WHERE at <= $1";

const CHANNEL: &str = "entrepot_change";
const NOTIFY: &str = "NOTIFY entrepot_change";

/// How many announcements are read at a time.
const PAGE: i64 = 256;

/// How far the announcements have been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard(i64);

/// Told as soon as something is announced.
pub struct Listener(PgListener);

/// Inside the transaction that makes the changes, as its last words.
pub(super) async fn put(
    connection: &mut Connection,
    member: &str,
    changes: &Changes,
) -> Result<(), MetaError> {
    let Some(body) = changes.announcement() else {
        return Ok(());
    };
    let put = Statement::new(SQL_PUT).bind(member).bind(body);
    put.execute(connection).await?;
    if let Connection::Postgres(_) = connection {
        Statement::new(NOTIFY).execute(connection).await?;
    }
    Ok(())
}

impl Meta {
    /// Forgets all that is cached, as after a time in which announcements may have been missed. Announcements from now on
    /// come after what this gives.
    pub async fn outdate_all(&self) -> Result<Heard, MetaError> {
        let newest: Option<(i64,)> = self.fetch_optional(Statement::new(SQL_NEWEST)).await?;
        // After the look: what is announced in between is heard of again.
        self.hot().outdate_all();
        Ok(Heard(newest.map_or(0, |(id,)| id)))
    }

    /// Forgets the cached rows of which others have announced since `heard` that they changed.
    pub async fn outdate_announced(&self, mut heard: Heard) -> Result<Heard, MetaError> {
        loop {
            let after = Statement::new(SQL_AFTER).bind(heard.0).bind(PAGE);
            let page: Vec<(i64, String, String)> = self.fetch_all(after).await?;
            let is_last = page.len() < usize::try_from(PAGE).expect("a small number");
            for (id, member, body) in page {
                heard = Heard(id);
                if self.member() == Some(&*member) {
                    continue;
                }
                match Changes::of_announcement(&body) {
                    Some(changes) => self.hot().outdate(&changes),
                    None => self.hot().outdate_all(),
                }
            }
            if is_last {
                return Ok(heard);
            }
        }
    }

    /// The next reads of what this names are of its rows, if another replica may have written them just now.
    pub fn look_again(&self, repository: &Name, reference: &Reference) {
        if self.member().is_none() {
            return;
        }
        let mut doubted = Changes::default();
        match reference {
            Reference::Tag(tag) => doubted.tag(repository, tag),
            Reference::Digest(digest) => {
                doubted.manifest(repository, digest);
                doubted.link(repository, digest);
            }
        }
        self.hot().outdate(&doubted);
    }

    /// Listens for announcements. `None`: this database cannot tell, it has to be asked.
    pub async fn listen(&self) -> Result<Option<Listener>, MetaError> {
        let Pool::Postgres(pool) = self.readers() else {
            return Ok(None);
        };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Some(Listener(listener)))
    }
}

impl Listener {
    /// Waits until something is announced; an error when nothing can be heard any more. May be dropped at any point.
    pub async fn heard(&mut self) -> Result<(), MetaError> {
        let heard = self.0.try_recv().await?;
        // Many commits, one look.
        while self.0.next_buffered().is_some() {}
        heard.map(|_| ()).ok_or(MetaError::Closed)
    }
}
