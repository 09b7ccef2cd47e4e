//! Which of two states of a tag is the newer one, wherever they came about: a hybrid clock (milliseconds and a counter) and
//! the id of the instance that made it. A version names one write: where it is the same, so is the state.
//!
//! ```text
//!   0199a5b2c3d4-0000-9f86d081884c7d65      as text, in headers and rows: it sorts as the versions do
//!   milliseconds count instance
//! ```

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::Digest;

/// How far ahead of our clock the version of another instance may be.
pub const MAX_AHEAD: Duration = Duration::from_mins(5);

const DELETED: &str = "deleted";

/// Later than any that is written: 12 hexadecimal digits.
const MAX_MILLISECONDS: u64 = (1 << 48) - 1;

/// The version of a tag's state; the higher one is the newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagVersion {
    milliseconds: u64,
    count: u16,
    instance: u64,
}

/// What a tag is, and since which write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagState {
    pub version: TagVersion,
    /// What it points to, or what it pointed to when it was deleted.
    pub digest: Digest,
    pub is_deleted: bool,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the version of a tag")]
pub struct TagVersionError(pub String);

impl TagVersion {
    /// The version of a write that happens now: higher than that of the state that it replaces, whatever the clock says.
    pub fn after(last: Option<Self>, now: SystemTime, instance: u64) -> Self {
        let now = since_1970(now).min(MAX_MILLISECONDS);
        let (milliseconds, count) = match last {
            Some(last) if last.milliseconds >= now => match last.count.checked_add(1) {
                Some(count) => (last.milliseconds, count),
                None => (last.milliseconds + 1, 0),
            },
            _ => (now, 0),
        };
        Self {
            milliseconds: milliseconds.min(MAX_MILLISECONDS),
            count,
            instance,
        }
    }

    /// How far it is ahead of this time, beyond what clocks may differ ([`MAX_AHEAD`]).
    pub fn is_ahead_of(&self, now: SystemTime) -> Option<Duration> {
        let ahead = self.milliseconds.saturating_sub(since_1970(now));
        Some(Duration::from_millis(ahead)).filter(|ahead| *ahead > MAX_AHEAD)
    }
}

fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl TagState {
    /// What both sides have when each knows of the other's state: the one with the higher version.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        if other.version >= self.version {
            other
        } else {
            self
        }
    }
}

/// In headers: `VERSION DIGEST`, and of what is deleted `VERSION DIGEST deleted`.
impl fmt::Display for TagState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.digest)?;
        if self.is_deleted {
            write!(f, " {DELETED}")?;
        }
        Ok(())
    }
}

impl FromStr for TagState {
    type Err = TagVersionError;

    fn from_str(text: &str) -> Result<Self, TagVersionError> {
        let wrong = || TagVersionError(super::shortened(text));
        let (version, digest, is_deleted) = match text.split(' ').collect::<Vec<_>>()[..] {
            [version, digest] => (version, digest, false),
            [version, digest, DELETED] => (version, digest, true),
            _ => return Err(wrong()),
        };
        Ok(Self {
            version: version.parse()?,
            digest: digest.parse().map_err(|_| wrong())?,
            is_deleted,
        })
    }
}

impl fmt::Display for TagVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            milliseconds,
            count,
            instance,
        } = self;
        write!(f, "{milliseconds:012x}-{count:04x}-{instance:016x}")
    }
}

impl fmt::Debug for TagVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TagVersion {
    type Err = TagVersionError;

    fn from_str(text: &str) -> Result<Self, TagVersionError> {
        let parts: Option<Vec<u64>> = match text.split('-').collect::<Vec<_>>()[..] {
            [milliseconds, count, instance] => [(milliseconds, 12), (count, 4), (instance, 16)]
                .into_iter()
                .map(|(part, digits)| number(part, digits))
                .collect(),
            _ => None,
        };
        let wrong = || TagVersionError(super::shortened(text));
        let &[milliseconds, count, instance] = parts.as_deref().ok_or_else(wrong)? else {
            return Err(wrong());
        };
        Ok(Self {
            milliseconds,
            count: u16::try_from(count).map_err(|_| wrong())?,
            instance,
        })
    }
}

/// Of so many hexadecimal digits, small ones: another text would not sort in its place.
fn number(text: &str, digits: usize) -> Option<u64> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = text.len() == digits && text.bytes().all(is_digit);
    fits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Few different numbers, so that they are often the same.
    fn version() -> impl Strategy<Value = TagVersion> {
        (0..4_u64, 0..3_u16, 0..3_u64).prop_map(|(milliseconds, count, instance)| TagVersion {
            milliseconds,
            count,
            instance,
        })
    }

    /// A version names one write, so what was written is a function of it.
    fn state() -> impl Strategy<Value = TagState> {
        version().prop_map(state_of)
    }

    fn state_of(version: TagVersion) -> TagState {
        TagState {
            version,
            digest: Digest::sha256(version.to_string().as_bytes()),
            is_deleted: version.count == 1,
        }
    }

    proptest! {
        #[test]
        fn the_order_in_which_states_meet_does_not_matter(
            one in state(), two in state(), three in state(),
        ) {
            let merged = one.clone().merged(two.clone());
            prop_assert_eq!(&merged, &two.clone().merged(one.clone()));
            prop_assert_eq!(&merged, &merged.clone().merged(one.clone()));
            prop_assert_eq!(&one, &one.clone().merged(one.clone()));
            prop_assert_eq!(
                merged.merged(three.clone()),
                one.merged(two.merged(three))
            );
        }

        #[test]
        fn a_write_is_newer_than_what_it_replaces_whatever_the_clock_says(
            last in any::<(u64, u16, u64)>(), now in 0..u64::MAX, instance in any::<u64>(),
        ) {
            let last = TagVersion {
                milliseconds: last.0 % MAX_MILLISECONDS,
                count: last.1,
                instance: last.2,
            };
            let now = UNIX_EPOCH.checked_add(Duration::from_millis(now)).unwrap_or(UNIX_EPOCH);
            prop_assert!(TagVersion::after(Some(last), now, instance) > last);
        }

        #[test]
        fn a_version_is_read_as_it_is_written_and_its_text_sorts_as_it_does(
            one in version(), two in version(),
        ) {
            prop_assert_eq!(one.to_string().parse(), Ok(one));
            let state = state_of(one);
            prop_assert_eq!(state.to_string().parse(), Ok(state));
            prop_assert_eq!(one.to_string().cmp(&two.to_string()), one.cmp(&two));
        }

        #[test]
        fn no_text_breaks_the_parser(text in ".{0,60}") {
            let read: Result<TagVersion, _> = text.parse();
            if let Ok(version) = read {
                prop_assert_eq!(version.to_string(), text);
            }
        }
    }

    #[test]
    fn the_clock_counts_where_it_is_ahead_and_the_counter_where_it_is_not() {
        let first = TagVersion::after(None, at(1), 7);
        assert_eq!(first.to_string(), "0000000003e8-0000-0000000000000007");
        let again = TagVersion::after(Some(first), at(1), 7);
        assert_eq!(again.to_string(), "0000000003e8-0001-0000000000000007");
        let later = TagVersion::after(Some(again), at(2), 9);
        assert_eq!(later.to_string(), "0000000007d0-0000-0000000000000009");
    }

    #[test]
    fn what_is_further_ahead_than_clocks_differ_is_told() {
        let version = TagVersion::after(None, at(1000), 7);
        assert_eq!(version.is_ahead_of(at(1000)), None);
        assert_eq!(version.is_ahead_of(at(700)), None);
        let ahead = Some(Duration::from_secs(301));
        assert_eq!(version.is_ahead_of(at(699)), ahead);
    }

    #[test]
    fn other_texts_are_no_versions() {
        for text in [
            "",
            "1",
            "0000000003e8-0000",
            "0000000003E8-0000-0000000000000007",
            "0000000003e8-+001-0000000000000007",
            "0000000003e8-0000-0000000000000007-",
        ] {
            assert!(text.parse::<TagVersion>().is_err(), "{text}");
        }
    }
}
