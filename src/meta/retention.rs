//! Tags that go by themselves: when each was pushed, what keeps it, and what goes with it.
//!
//! A tag takes along the manifest that it points to, unless something else wants that: another tag, an index, a pin, or
//! a subject that is still here; and so on below it. Tags by which clients without the referrers API find referrers
//! (`sha256-…`) go with their subject.

use std::{collections::VecDeque, time::SystemTime};

use super::{
    Meta, MetaError, Removed,
    changes::Changes,
    column,
    connection::Connection,
    delete,
    image::{SQL_BELOW, SQL_HERE},
    operation::Operation,
    repository,
    statement::Statement,
};
use crate::oci::{Digest, Name, Tag};

/// 1: a pin of the tag or of what it points to keeps it.
pub(super) const SQL_PUSHED: &str = "SELECT name, digest, COALESCE(pushed_at, checked_at), \
     CAST(CASE WHEN EXISTS (SELECT 1 FROM pin WHERE pin.repository_id = tag.repository_id \
     AND pin.reference IN (tag.name, tag.digest)) THEN 1 ELSE 0 END AS BIGINT) FROM tag \
     WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND name > $2 ORDER BY name LIMIT $3";

pub(super) const SQL_PINNED: &str = "SELECT CAST(1 AS BIGINT) FROM pin \
     WHERE repository_id = $1 AND reference IN ($2, $3) LIMIT 1";

/// Still the tag that was found due: pointing to $3, pushed at $4.
pub(super) const SQL_DUE: &str = "SELECT CAST(1 AS BIGINT) FROM tag \
     WHERE repository_id = $1 AND name = $2 AND digest = $3 AND COALESCE(pushed_at, checked_at) = $4";

/// A tag, an index or a pin wants the manifest, or it refers to a subject that is here.
pub(super) const SQL_WANTED: &str = "SELECT CAST(1 AS BIGINT) \
     WHERE EXISTS (SELECT 1 FROM tag WHERE repository_id = $1 AND digest = $2) \
     OR EXISTS (SELECT 1 FROM reference WHERE repository_id = $1 AND child = $2 AND kind = 'manifest') \
     OR EXISTS (SELECT 1 FROM pin WHERE repository_id = $1 AND reference = $2) \
     OR EXISTS (SELECT 1 FROM reference CROSS JOIN manifest \
     WHERE reference.repository_id = $1 AND reference.parent = $2 AND reference.kind = 'subject' \
     AND manifest.repository_id = reference.repository_id AND manifest.digest = reference.child)";

/// Tags by which referrers of a subject are found: from $2 up to $3.
pub(super) const SQL_FALLBACK: &str =
    "SELECT name FROM tag WHERE repository_id = $1 AND name >= $2 AND name < $3";

/// A tag of a hosted repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedTag {
    pub tag: Tag,
    pub digest: Digest,
    /// Kept to the millisecond.
    pub pushed_at: SystemTime,
    /// By its name or its digest.
    pub is_pinned: bool,
}

/// [`Meta::tag_retire`]
struct Retire {
    repository: Name,
    due: PushedTag,
}

impl Meta {
    /// Up to `limit` tags of a repository after `after`, sorted as bytes, with the times they were last pushed.
    pub async fn pushed_tags(
        &self,
        repository: &Name,
        after: Option<&Tag>,
        limit: u32,
    ) -> Result<Vec<PushedTag>, MetaError> {
        let select = Statement::new(SQL_PUSHED)
            .bind(repository)
            .bind(after.map_or("", Tag::as_str))
            .bind(i64::from(limit));
        let rows: Vec<(String, String, i64, i64)> = self.fetch_all(select).await?;
        let tag = |(tag, digest, pushed_at, is_pinned): (String, String, i64, i64)| {
            Ok(PushedTag {
                tag: column::parsed(&tag)?,
                digest: column::parsed(&digest)?,
                pushed_at: column::time(pushed_at),
                is_pinned: is_pinned == 1,
            })
        };
        rows.into_iter().map(tag).collect()
    }

    /// Deletes a tag that is due, and what only it kept. `None`: it was pushed again or pinned meanwhile, or is gone.
    pub async fn tag_retire(
        &self,
        repository: &Name,
        due: PushedTag,
    ) -> Result<Option<Removed>, MetaError> {
        let repository = repository.clone();
        self.write(Retire { repository, due }).await
    }
}

impl Operation for Retire {
    type Output = Option<Removed>;

    async fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<Option<Removed>, MetaError> {
        let Some(repository_id) = repository::id(connection, &self.repository).await? else {
            return Ok(None);
        };
        if !self.is_due(connection, repository_id).await? {
            return Ok(None);
        }
        delete::tag_of(
            connection,
            changes,
            repository_id,
            &self.repository,
            self.due.tag.as_str(),
        )
        .await?;
        let mut removed = Removed::default();
        let mut queue = VecDeque::from([self.due.digest.to_string()]);
        while let Some(digest) = queue.pop_front() {
            let run = |sql| Statement::new(sql).bind(repository_id).bind(&*digest);
            let here: Option<(i64,)> = run(SQL_HERE).fetch_optional(connection).await?;
            let wanted: Option<(i64,)> = run(SQL_WANTED).fetch_optional(connection).await?;
            if here.is_none() || wanted.is_some() {
                continue;
            }
            let below: Vec<(String,)> = run(SQL_BELOW).fetch_all(connection).await?;
            queue.extend(below.into_iter().map(|(digest,)| digest));
            let fallback = self.delete_fallback(connection, changes, repository_id, &digest);
            queue.extend(fallback.await?);
            let deleted = delete::manifest(
                connection,
                changes,
                repository_id,
                &self.repository,
                &digest,
            );
            removed.add(deleted.await?);
        }
        Ok(Some(removed))
    }
}

impl Retire {
    async fn is_due(
        &self,
        connection: &mut Connection,
        repository_id: i64,
    ) -> Result<bool, MetaError> {
        let run = |sql| {
            Statement::new(sql)
                .bind(repository_id)
                .bind(&self.due.tag)
                .bind(&self.due.digest)
        };
        let due = run(SQL_DUE).bind(column::milliseconds(self.due.pushed_at));
        let due: Option<(i64,)> = due.fetch_optional(connection).await?;
        let pinned: Option<(i64,)> = run(SQL_PINNED).fetch_optional(connection).await?;
        Ok(due.is_some() && pinned.is_none())
    }

    /// Deletes the tags that lead to referrers of a manifest that goes; gives what they pointed to.
    async fn delete_fallback(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
        repository_id: i64,
        subject: &str,
    ) -> Result<Vec<String>, MetaError> {
        let prefix = fallback_prefix(subject);
        // `/` comes after `-` and `.`, and no tag has it.
        let select = Statement::new(SQL_FALLBACK)
            .bind(repository_id)
            .bind(&*prefix)
            .bind(format!("{prefix}/"));
        let tags: Vec<(String,)> = select.fetch_all(connection).await?;
        let mut targets = Vec::new();
        for (tag,) in &tags {
            let deleted = delete::tag_of(connection, changes, repository_id, &self.repository, tag);
            targets.extend(deleted.await?.map(|digest| digest.to_string()));
        }
        Ok(targets)
    }
}

/// distribution-spec, "Referrers Tag Schema": at most 32 characters of the algorithm and 64 of the rest.
fn fallback_prefix(digest: &str) -> String {
    let (algorithm, hex) = digest.split_once(':').unwrap_or((digest, ""));
    let cut = |text: &str, len| text.chars().take(len).collect::<String>();
    format!("{}-{}", cut(algorithm, 32), cut(hex, 64))
}
