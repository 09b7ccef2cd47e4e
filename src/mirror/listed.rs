//! One list as it was learned from a remote, and the memory of those that were read lately: a list of a hundred thousand
//! tags is parsed once, not for each page of it that is asked for.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use moka::future::Cache;
use serde::{Serialize, de::DeserializeOwned};

use super::MirrorError;
use crate::{
    meta::{ListKind, ListRow},
    oci::{Descriptor, Digest, Name, Tag},
};

/// What all lists together may take of memory, about.
const LISTS_BYTES: u64 = 64 * 1024 * 1024;
/// What a list takes besides its entries.
const LIST_BYTES: usize = 512;

/// One list of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ListKey {
    Tags(Name),
    Referrers(Name, Digest),
}

impl ListKey {
    pub(super) fn repository(&self) -> &Name {
        match self {
            Self::Tags(name) | Self::Referrers(name, _) => name,
        }
    }

    /// As the rows have it.
    pub(super) fn row_key(&self) -> (ListKind, String) {
        match self {
            Self::Tags(_) => (ListKind::Tags, String::new()),
            Self::Referrers(_, subject) => (ListKind::Referrers, subject.to_string()),
        }
    }
}

/// A list and when it was asked for, to the millisecond as in its row.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) entries: Entries,
    pub(super) fetched_at: SystemTime,
    /// About.
    bytes: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Entries {
    /// Sorted as bytes, each once.
    Tags(Arc<[Tag]>),
    /// As the remote gave them.
    Referrers(Arc<[Descriptor]>),
}

impl List {
    /// Of what a remote said, with the row that keeps it.
    pub(super) fn new(entries: Entries, asked_at: SystemTime) -> (Self, ListRow) {
        let body = match &entries {
            Entries::Tags(tags) => serialize(&tags.iter().map(Tag::as_str).collect::<Vec<_>>()),
            Entries::Referrers(referrers) => serialize(&referrers),
        };
        let since = asked_at.duration_since(UNIX_EPOCH);
        let milliseconds = since.unwrap_or_default().as_millis();
        let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
        let fetched_at = UNIX_EPOCH + Duration::from_millis(milliseconds);
        let list = Self {
            entries,
            fetched_at,
            bytes: bytes(body.len()),
        };
        let body = body.into();
        (list, ListRow { body, fetched_at })
    }

    /// As a row has it.
    pub(super) fn parse(key: &ListKey, row: &ListRow) -> Result<Self, MirrorError> {
        let entries = match key {
            ListKey::Tags(_) => {
                let texts: Vec<String> = parse(row)?;
                let mut tags: Vec<Tag> = texts.iter().filter_map(|tag| tag.parse().ok()).collect();
                tags.sort_unstable();
                tags.dedup();
                Entries::Tags(tags.into())
            }
            ListKey::Referrers(..) => Entries::Referrers(parse::<Descriptor>(row)?.into()),
        };
        Ok(Self {
            entries,
            fetched_at: row.fetched_at,
            bytes: bytes(row.body.len()),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.entries {
            Entries::Tags(tags) => tags.is_empty(),
            Entries::Referrers(referrers) => referrers.is_empty(),
        }
    }

    /// Of a key of tags.
    pub(super) fn tags(&self) -> Arc<[Tag]> {
        match &self.entries {
            Entries::Tags(tags) => Arc::clone(tags),
            Entries::Referrers(_) => unreachable!("a key of tags has a list of tags"),
        }
    }

    /// Of a key of referrers.
    pub(super) fn referrers(&self) -> Arc<[Descriptor]> {
        match &self.entries {
            Entries::Referrers(referrers) => Arc::clone(referrers),
            Entries::Tags(_) => unreachable!("a key of referrers has a list of referrers"),
        }
    }
}

/// Text and parsed entries are about as long.
fn bytes(body: usize) -> u32 {
    u32::try_from(2 * body + LIST_BYTES).unwrap_or(u32::MAX)
}

fn serialize<T: Serialize>(list: &T) -> Vec<u8> {
    serde_json::to_vec(list).expect("strings and descriptors have no keys that JSON refuses")
}

fn parse<T: DeserializeOwned>(row: &ListRow) -> Result<Vec<T>, MirrorError> {
    serde_json::from_slice(&row.body).map_err(|error| {
        tracing::error!(%error, "a list's row cannot be read");
        MirrorError::Internal
    })
}

/// Lists that were read lately.
pub(super) struct Lists(Cache<ListKey, List>);

impl Lists {
    pub(super) fn new() -> Self {
        let lists = Cache::builder()
            .max_capacity(LISTS_BYTES)
            .weigher(|_, list: &List| list.bytes);
        Self(lists.build())
    }

    pub(super) async fn get(&self, key: &ListKey) -> Option<List> {
        self.0.get(key).await
    }

    pub(super) async fn keep(&self, key: &ListKey, list: List) {
        self.0.insert(key.clone(), list).await;
    }
}

/// Both sorted: all entries of both, each once.
pub(super) fn merge(listed: &Arc<[Tag]>, learned: Vec<Tag>) -> Arc<[Tag]> {
    let new: Vec<Tag> = learned
        .into_iter()
        .filter(|tag| listed.binary_search(tag).is_err())
        .collect();
    if new.is_empty() {
        return Arc::clone(listed);
    }
    let mut all = [&listed[..], &new].concat();
    // Two sorted runs: the sort only merges them.
    all.sort();
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(texts: &[&str]) -> Vec<Tag> {
        texts
            .iter()
            .map(|text| text.parse().expect("a tag"))
            .collect()
    }

    #[test]
    fn what_was_learned_since_is_merged_and_nothing_new_costs_nothing() {
        let listed: Arc<[Tag]> = tags(&["a", "c", "e"]).into();
        assert_eq!(
            *merge(&listed, tags(&["b", "c", "f"])),
            tags(&["a", "b", "c", "e", "f"])
        );
        assert!(Arc::ptr_eq(&merge(&listed, tags(&["a", "e"])), &listed));
        assert_eq!(*merge(&Arc::default(), tags(&["x"])), tags(&["x"]));
    }

    #[test]
    fn a_list_is_read_from_its_row_as_it_was_written() {
        let key = ListKey::Tags("r/app".parse().expect("a name"));
        let (written, row) = List::new(Entries::Tags(tags(&["B", "a"]).into()), SystemTime::now());
        assert_eq!(&row.body[..], br#"["B","a"]"#);
        let read = List::parse(&key, &row).expect("a valid row");
        assert_eq!(read.fetched_at, written.fetched_at);
        assert_eq!(*read.tags(), tags(&["B", "a"]));
    }

    #[test]
    fn a_row_that_is_not_sorted_or_has_no_valid_tag_is_read_all_the_same() {
        let key = ListKey::Tags("r/app".parse().expect("a name"));
        let row = ListRow {
            body: r#"["b","not a tag","a","b"]"#.into(),
            fetched_at: UNIX_EPOCH,
        };
        let read = List::parse(&key, &row).expect("a valid row");
        assert_eq!(*read.tags(), tags(&["a", "b"]));
    }
}
