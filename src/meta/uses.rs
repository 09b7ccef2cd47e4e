//! What clients got lately. Noted in memory on every hit, written in batches: eviction goes by it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use futures_util::future::try_join_all;

use super::{
    Meta, MetaError, changes::Changes, column, connection::Connection, image::SQL_INDEXES,
    operation::Operation, repository, statement::Statement,
};
use crate::oci::{Digest, Name};

/// Uses that are remembered until they are written; more between two flushes are not counted.
const KEPT: usize = 100_000;

/// How many uses are written in one transaction.
const BATCH: usize = 64;

/// Images that name a blob. Of a blob that several name (a base layer) none can be told to be in use.
pub(super) const SQL_IMAGES: &str = "SELECT parent FROM reference \
     WHERE repository_id = $1 AND child = $2 AND kind = 'blob' LIMIT 2";

pub(super) const SQL_TOUCH: &str =
    "UPDATE manifest SET used_at = $3 WHERE repository_id = $1 AND digest = $2 AND +used_at < $3";

/// Of a blob that no manifest names.
pub(super) const SQL_TOUCH_LINK: &str =
    "UPDATE link SET touched_at = $3 WHERE repository_id = $1 AND digest = $2 AND touched_at < $3";

/// Repositories and digests that clients got since the last flush, and when: a bounded set.
#[derive(Default)]
pub struct Uses(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    count: usize,
    uses: HashMap<Name, HashMap<Digest, SystemTime>>,
}

/// Who got what, and when.
type Use = (Name, Digest, SystemTime);

impl Uses {
    /// A client is given this manifest or blob. No I/O; what was noted before costs no memory.
    pub fn note(&self, repository: &Name, digest: &Digest) {
        let now = SystemTime::now();
        let noted = &mut *self.lock();
        let digests = noted.uses.get_mut(repository);
        if let Some(last) = digests.and_then(|digests| digests.get_mut(digest)) {
            *last = now;
        } else if noted.count < KEPT {
            noted.count += 1;
            let digests = noted.uses.entry(repository.clone()).or_default();
            digests.insert(digest.clone(), now);
        }
    }

    /// Everything noted so far; from here on the set is empty.
    fn take(&self) -> Vec<Use> {
        let noted = std::mem::take(&mut *self.lock());
        let uses = |(name, digests): (Name, HashMap<Digest, SystemTime>)| {
            digests
                .into_iter()
                .map(move |(digest, at)| (name.clone(), digest, at))
        };
        noted.uses.into_iter().flat_map(uses).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        // Nothing under this lock can leave the set half changed in a way that matters.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meta {
    /// Writes down what was noted in [`Meta::uses`], before whatever is written after the first poll. What cannot be written is forgotten: it only makes an image look
    /// older than it is.
    pub async fn flush_uses(&self) -> Result<(), MetaError> {
        self.write_uses(self.uses().take()).await
    }

    /// Clients got these: the manifests, what is above them, and links that nothing names, count as used at this time.
    pub async fn touch(&self, uses: &[(Name, Digest)], at: SystemTime) -> Result<(), MetaError> {
        let uses = uses.iter().cloned();
        let uses = uses.map(|(name, digest)| (name, digest, at)).collect();
        self.write_uses(uses).await
    }

    async fn write_uses(&self, uses: Vec<Use>) -> Result<(), MetaError> {
        let batches = uses.chunks(BATCH);
        try_join_all(batches.map(|batch| self.write(Touch(batch.to_vec())))).await?;
        Ok(())
    }
}

struct Touch(Vec<Use>);

impl Operation for Touch {
    type Output = ();

    async fn execute(&self, connection: &mut Connection, _: &mut Changes) -> Result<(), MetaError> {
        for (name, digest, at) in &self.0 {
            let Some(repository_id) = repository::id(connection, name).await? else {
                continue;
            };
            touch(connection, repository_id, digest, *at).await?;
        }
        Ok(())
    }
}

/// The manifest or loose link itself, the one image that names the blob, and every index above.
///
/// Step by step: for one recursive statement SQLite reads the whole table to build a filter.
async fn touch(
    connection: &mut Connection,
    repository_id: i64,
    digest: &Digest,
    at: SystemTime,
) -> Result<(), MetaError> {
    let run = |sql, digest: &str| Statement::new(sql).bind(repository_id).bind(digest);
    let at = column::milliseconds(at);
    let digest = digest.to_string();
    let link = run(SQL_TOUCH_LINK, &digest).bind(at);
    link.execute(connection).await?;
    let images: Vec<(String,)> = run(SQL_IMAGES, &digest).fetch_all(connection).await?;
    let mut queue = vec![digest];
    if let [(image,)] = &images[..] {
        queue.push(image.clone());
    }
    let mut known = HashSet::new();
    while let Some(digest) = queue.pop() {
        if known.contains(&digest) {
            continue;
        }
        run(SQL_TOUCH, &digest).bind(at).execute(connection).await?;
        let indexes: Vec<(String,)> = run(SQL_INDEXES, &digest).fetch_all(connection).await?;
        queue.extend(indexes.into_iter().map(|(index,)| index));
        known.insert(digest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_counted_once_and_bounded() {
        let uses = Uses::default();
        let name: Name = "p/r".parse().unwrap();
        for index in 0..KEPT + 10 {
            let digest = Digest::sha256(&index.to_le_bytes());
            uses.note(&name, &digest);
            uses.note(&name, &digest);
        }
        assert_eq!(uses.take().len(), KEPT);
        assert_eq!(uses.take(), []);
        uses.note(&name, &Digest::sha256(b"x"));
        assert_eq!(uses.take().len(), 1);
    }
}
