//! What is done with a tag, by what is at its destination: where both sides know which write a tag is of, the newer one
//! counts; elsewhere a rule touches only what it put there itself. Pure.

use std::cmp::Ordering::{Equal, Greater, Less};

use crate::{
    meta::{Action, Claim},
    oci::{Digest, TagState},
    transfer::send::Found,
};

/// What a rule may do at a destination.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leave {
    /// What it did not put there is replaced, too.
    pub(super) overwrite: bool,
    /// What is deleted at the destination stays deleted.
    pub(super) respect_deletes: bool,
    /// It makes something else of indexes on their way: what is there does not have the digest of what is here.
    pub(super) rewrites: bool,
}

/// What is to be done with a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Copy,
    /// It is there by an older write: only that has to be told.
    Renew,
    /// It is there.
    Same,
    /// It is there by this newer write.
    SameButNewer(TagState),
    /// What is there is of a newer write.
    Newer,
    /// It was deleted there by this newer write, and is to be there again.
    Again(TagState),
    /// Something else is there, which the rule did not put there.
    Conflict,
    /// It is to be deleted there.
    Delete,
}

/// A tag that is to be as it is here: by this digest, and this write if that is known. `ours`: what the rule put there.
pub(super) fn to_send(
    digest: &Digest,
    state: Option<&TagState>,
    there: &Found,
    ours: Option<&Claim>,
    leave: Leave,
) -> Verdict {
    let is_same = there.digest.as_ref() == Some(digest);
    if let (Some(here), Some(written)) = (state, &there.state) {
        match here.version.cmp(&written.version) {
            Less if is_same => return Verdict::SameButNewer(written.clone()),
            Less if written.is_deleted && !leave.respect_deletes => {
                return Verdict::Again(written.clone());
            }
            Less => return Verdict::Newer,
            Equal if !leave.rewrites => return Verdict::Same,
            Equal => {}
            Greater if is_same => return Verdict::Renew,
            Greater => return Verdict::Copy,
        }
    }
    match &there.digest {
        None => Verdict::Copy,
        Some(_) if is_same => Verdict::Same,
        // What was rewritten on its way has another digest there.
        Some(found) if is_ours(found, ours) || leave.overwrite => Verdict::Copy,
        Some(_) => Verdict::Conflict,
    }
}

/// A tag that is here no longer. `state`: how it was deleted, if that is known.
pub(super) fn to_delete(
    state: Option<&TagState>,
    there: &Found,
    ours: Option<&Claim>,
    keeps_versions: bool,
) -> Verdict {
    let deleted = state.filter(|state| state.is_deleted);
    if let (Some(deleted), Some(written)) = (deleted, &there.state) {
        return match deleted.version.cmp(&written.version) {
            Less if written.is_deleted => Verdict::Same,
            Less => Verdict::Newer,
            Equal => Verdict::Same,
            // A delete of before is told, too: those who follow the destination may not know of this one.
            Greater => Verdict::Delete,
        };
    }
    match &there.digest {
        None if deleted.is_some() && keeps_versions => Verdict::Delete,
        None => Verdict::Same,
        Some(found) if is_ours(found, ours) => Verdict::Delete,
        Some(_) => Verdict::Conflict,
    }
}

fn is_ours(there: &Digest, ours: Option<&Claim>) -> bool {
    ours.is_some_and(|claim| claim.covers(there))
}

impl Verdict {
    /// As a plan says it.
    pub(super) fn action(&self) -> Action {
        match self {
            Self::Copy | Self::Renew | Self::Again(_) => Action::Copy,
            Self::Same | Self::SameButNewer(_) | Self::Newer => Action::Skip,
            Self::Conflict => Action::Conflict,
            Self::Delete => Action::Delete,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::oci::TagVersion;

    fn digest(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    fn put(text: &str) -> Claim {
        Claim::Put(digest(text))
    }

    fn state(seconds: u64, text: &str) -> TagState {
        TagState {
            version: TagVersion::after(None, UNIX_EPOCH + Duration::from_secs(seconds), 7),
            digest: digest(text),
            is_deleted: false,
        }
    }

    fn deleted(seconds: u64) -> TagState {
        TagState {
            is_deleted: true,
            ..state(seconds, "gone")
        }
    }

    fn found(state: TagState) -> Found {
        Found {
            digest: Some(state.digest.clone()).filter(|_| !state.is_deleted),
            state: Some(state),
        }
    }

    fn plain(text: Option<&str>) -> Found {
        Found {
            digest: text.map(digest),
            state: None,
        }
    }

    fn copied(there: Option<&str>, ours: Option<&str>, overwrite: bool) -> Verdict {
        let leave = Leave {
            overwrite,
            ..Leave::default()
        };
        let (new, ours) = (state(2, "new"), ours.map(put));
        to_send(&new.digest, Some(&new), &plain(there), ours.as_ref(), leave)
    }

    #[test]
    fn only_what_the_rule_put_there_is_overwritten_unless_it_may() {
        assert_eq!(copied(None, None, false), Verdict::Copy);
        assert_eq!(copied(None, Some("old"), false), Verdict::Copy);
        assert_eq!(copied(Some("new"), None, false), Verdict::Same);
        assert_eq!(copied(Some("old"), Some("old"), false), Verdict::Copy);
        let foreign = Some("foreign");
        assert_eq!(copied(foreign, Some("old"), false), Verdict::Conflict);
        assert_eq!(copied(foreign, None, false), Verdict::Conflict);
        assert_eq!(copied(foreign, None, true), Verdict::Copy);
    }

    #[test]
    fn only_what_the_rule_put_there_is_deleted() {
        let delete = |there, ours: Option<&str>| {
            let ours = ours.map(put);
            to_delete(Some(&deleted(2)), &plain(there), ours.as_ref(), false)
        };
        assert_eq!(delete(None, Some("old")), Verdict::Same);
        assert_eq!(delete(Some("old"), Some("old")), Verdict::Delete);
        assert_eq!(delete(Some("foreign"), Some("old")), Verdict::Conflict);
        assert_eq!(delete(Some("foreign"), None), Verdict::Conflict);
    }

    #[test]
    fn what_a_rule_began_to_put_there_is_its_own_and_what_it_had_put_there_before() {
        let begun = Claim::Begun {
            digest: digest("begun"),
            over: Some(digest("old")),
        };
        let new = state(2, "new");
        for (there, copy, delete) in [
            ("begun", Verdict::Copy, Verdict::Delete),
            ("old", Verdict::Copy, Verdict::Delete),
            ("foreign", Verdict::Conflict, Verdict::Conflict),
        ] {
            let there = plain(Some(there));
            let ours = Some(&begun);
            let sent = to_send(&new.digest, Some(&new), &there, ours, Leave::default());
            assert_eq!(sent, copy);
            assert_eq!(to_delete(Some(&deleted(2)), &there, ours, false), delete);
        }
    }

    #[test]
    fn where_both_sides_know_the_write_the_newer_one_counts_whoever_put_it_there() {
        let sent = |here: &TagState, there: TagState| {
            let leave = Leave {
                respect_deletes: true,
                ..Leave::default()
            };
            to_send(&here.digest, Some(here), &found(there), None, leave)
        };
        let here = state(2, "here");
        assert_eq!(sent(&here, state(1, "there")), Verdict::Copy);
        assert_eq!(sent(&here, state(1, "here")), Verdict::Renew);
        assert_eq!(sent(&here, state(2, "here")), Verdict::Same);
        // What was made of an index on its way.
        assert_eq!(sent(&here, state(2, "made")), Verdict::Same);
        assert_eq!(sent(&here, state(3, "there")), Verdict::Newer);
        let newer = state(3, "here");
        assert_eq!(sent(&here, newer.clone()), Verdict::SameButNewer(newer));
        assert_eq!(sent(&here, deleted(1)), Verdict::Copy);
        assert_eq!(sent(&here, deleted(3)), Verdict::Newer);
    }

    #[test]
    fn what_was_deleted_there_comes_back_by_rules_that_do_not_replicate_deletes() {
        let here = state(2, "here");
        let leave = Leave::default();
        let sent = to_send(&here.digest, Some(&here), &found(deleted(3)), None, leave);
        assert_eq!(sent, Verdict::Again(deleted(3)));
    }

    #[test]
    fn a_delete_goes_where_nothing_newer_is() {
        let gone = |there: &Found| to_delete(Some(&deleted(2)), there, None, true);
        assert_eq!(gone(&found(state(1, "there"))), Verdict::Delete);
        assert_eq!(gone(&found(state(3, "there"))), Verdict::Newer);
        assert_eq!(gone(&found(deleted(1))), Verdict::Delete);
        assert_eq!(gone(&found(deleted(2))), Verdict::Same);
        assert_eq!(gone(&found(deleted(3))), Verdict::Same);
        assert_eq!(gone(&plain(None)), Verdict::Delete);
    }
}
