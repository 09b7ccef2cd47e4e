//! `Range` and `If-Range` (RFC 9110, section 14): which bytes of how many. Pure.

use std::ops::Range;

/// More ranges than this in one request are not worth their parts: the whole is sent.
const MAX_RANGES: usize = 16;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// 200: no range, one that means nothing, or more trouble than it saves.
    Whole,
    /// 206 with `Content-Range`.
    One(Range<u64>),
    /// 206 as multipart/byteranges, in the order asked for; at least two, none overlapping another.
    Many(Vec<Range<u64>>),
    /// 416
    Unsatisfiable,
}

/// Selects bytes out of `len`. A header that is malformed or of another unit is ignored (RFC 9110, 14.2).
pub(super) fn select(header: &str, len: u64) -> Selection {
    let Some(specs) = parse(header) else {
        return Selection::Whole;
    };
    if specs.len() > MAX_RANGES {
        return Selection::Whole;
    }
    let mut ranges: Vec<Range<u64>> = specs.iter().filter_map(|spec| spec.within(len)).collect();
    match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => Selection::One(ranges.remove(0)),
        _ if overlap(&ranges) => Selection::Whole,
        _ => Selection::Many(ranges),
    }
}

/// Does `If-Range` let the `Range` through? Only the very entity tag does; a date never, since no Last-Modified is sent.
pub(super) fn if_range_holds(if_range: Option<&[u8]>, etag: &str) -> bool {
    if_range.is_none_or(|validator| validator == etag.as_bytes())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    /// `a-b`, both included
    Closed(u64, u64),
    /// `a-`
    From(u64),
    /// `-n`: the last n
    Last(u64),
}

impl Spec {
    fn within(self, len: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::Closed(first, last) => first..last.saturating_add(1).min(len),
            Self::From(first) => first..len,
            Self::Last(count) => len.saturating_sub(count)..len,
        };
        (range.start < range.end).then_some(range)
    }
}

/// The ranges of a `bytes=` header; `None` if it is not one.
fn parse(header: &str) -> Option<Vec<Spec>> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    // RFC 9110, 5.6.1: empty list elements are skipped.
    let specs: Vec<Spec> = set
        .split(',')
        .map(|text| text.trim_matches([' ', '\t']))
        .filter(|text| !text.is_empty())
        .map(spec)
        .collect::<Option<_>>()?;
    (!specs.is_empty()).then_some(specs)
}

fn spec(text: &str) -> Option<Spec> {
    let (first, last) = text.split_once('-')?;
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Spec::Last(number(last)?)),
        (false, true) => Some(Spec::From(number(first)?)),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::Closed(first, last))
        }
    }
}

/// Digits only; more than fits is more than any length.
fn number(digits: &str) -> Option<u64> {
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().unwrap_or(u64::MAX))
}

fn overlap(ranges: &[Range<u64>]) -> bool {
    let mut sorted: Vec<&Range<u64>> = ranges.iter().collect();
    sorted.sort_by_key(|range| range.start);
    sorted.windows(2).any(|pair| pair[0].end > pair[1].start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::fuzz::{near_text, search};

    #[test]
    fn one_range_of_each_form_is_selected() {
        assert_eq!(select("bytes=0-0", 10), Selection::One(0..1));
        assert_eq!(select("bytes=2-5", 10), Selection::One(2..6));
        assert_eq!(select("bytes=2-500", 10), Selection::One(2..10));
        assert_eq!(select("bytes=9-", 10), Selection::One(9..10));
        assert_eq!(select("bytes=0-", 10), Selection::One(0..10));
        assert_eq!(select("bytes=-3", 10), Selection::One(7..10));
        assert_eq!(select("bytes=-300", 10), Selection::One(0..10));
        assert_eq!(select("BYTES=1-2", 10), Selection::One(1..3));
        assert_eq!(
            select("bytes=5-99999999999999999999999", 10),
            Selection::One(5..10)
        );
    }

    #[test]
    fn nothing_within_the_length_is_unsatisfiable() {
        for header in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=10-11,20-"] {
            assert_eq!(select(header, 10), Selection::Unsatisfiable, "{header}");
        }
        assert_eq!(select("bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select("bytes=-1", 0), Selection::Unsatisfiable);
    }

    #[test]
    fn what_is_no_byte_range_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "items=0-1",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=-",
            "bytes=+1-2",
            "bytes=0-1,x",
            "bytes=1",
            "bytes=--1",
        ] {
            assert_eq!(select(header, 10), Selection::Whole, "{header}");
        }
    }

    #[test]
    fn several_ranges_keep_their_order_and_lose_the_unsatisfiable() {
        assert_eq!(
            select("bytes=6-7, 0-1 ,-1", 10),
            Selection::Many(vec![6..8, 0..2, 9..10])
        );
        assert_eq!(select("bytes=6-7,10-", 10), Selection::One(6..8));
    }

    #[test]
    fn overlapping_or_too_many_ranges_get_the_whole() {
        assert_eq!(select("bytes=0-5,5-6", 10), Selection::Whole);
        assert_eq!(select("bytes=5-6,0-5", 10), Selection::Whole);
        let many: Vec<String> = (0..17).map(|i| format!("{0}-{0}", i * 2)).collect();
        assert_eq!(
            select(&format!("bytes={}", many.join(",")), 100),
            Selection::Whole
        );
        assert!(matches!(
            select(&format!("bytes={}", many[..16].join(",")), 100),
            Selection::Many(ranges) if ranges.len() == 16
        ));
    }

    #[test]
    fn if_range_needs_the_very_entity_tag() {
        assert!(if_range_holds(None, "\"a\""));
        assert!(if_range_holds(Some(b"\"a\""), "\"a\""));
        assert!(!if_range_holds(Some(b"W/\"a\""), "\"a\""));
        assert!(!if_range_holds(
            Some(b"Sat, 21 Nov 2026 05:00:00 GMT"),
            "\"a\""
        ));
    }

    proptest! {
        #[test]
        fn whatever_is_selected_lies_within_the_length(header in "bytes=[-0-9, ]{0,40}", len in 0u64..1000) {
            match select(&header, len) {
                Selection::One(range) => prop_assert!(range.start < range.end && range.end <= len),
                Selection::Many(ranges) => {
                    prop_assert!(ranges.len() >= 2 && ranges.len() <= MAX_RANGES);
                    prop_assert!(ranges.iter().all(|r| r.start < r.end && r.end <= len));
                    prop_assert!(ranges.iter().map(|r| r.end - r.start).sum::<u64>() <= len);
                }
                Selection::Whole | Selection::Unsatisfiable => {}
            }
        }

        #[test]
        fn a_closed_range_selects_the_bytes_it_names(first in 0u64..100, count in 1u64..100, len in 1u64..200) {
            let selected = select(&format!("bytes={first}-{}", first + count - 1), len);
            let bytes: Vec<u64> = (first..first + count).filter(|at| *at < len).collect();
            match selected {
                Selection::One(range) => prop_assert_eq!(range.collect::<Vec<_>>(), bytes),
                other => { prop_assert_eq!(other, Selection::Unsatisfiable); prop_assert!(bytes.is_empty()); }
            }
        }
    }

    #[test]
    fn of_what_is_nearly_a_range_only_bytes_that_are_there_are_selected() {
        let headers = near_text(&["bytes=0-499", "bytes=-5", "bytes=9-", "bytes=0-0,5-6, 8-9"]);
        search((headers, 0u64..20), |(header, len)| {
            let ranges = match select(&header, len) {
                Selection::One(range) => vec![range],
                Selection::Many(ranges) => ranges,
                Selection::Whole | Selection::Unsatisfiable => return Ok(()),
            };
            prop_assert!(ranges.len() <= MAX_RANGES && !overlap(&ranges));
            prop_assert!(
                ranges
                    .iter()
                    .all(|range| range.start < range.end && range.end <= len)
            );
            Ok(())
        });
    }
}
