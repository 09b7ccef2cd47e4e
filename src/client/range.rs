//! `Content-Range` (RFC 9110, 14.4).

use http::{HeaderMap, header};

/// `bytes first-last/total`; a 416 has only the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// First and last byte, both included.
    pub(super) bytes: Option<(u64, u64)>,
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// `None` when it is missing or makes no sense.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim();
        let (unit, rest) = text.split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let total = match total.trim() {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let bytes = match range.trim() {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-')?;
                Some((first.parse().ok()?, last.parse().ok()?))
            }
        };
        let sound = bytes.is_none_or(|(first, last)| {
            first <= last && last < u64::MAX && total.is_none_or(|total| last < total)
        });
        sound.then_some(Self { bytes, total })
    }
}

/// `Content-Length` as the header says it: a client library may show what it knows of the body instead, 0 for HEAD.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::oci::fuzz::{near, search};

    /// (first and last byte, total)
    type Read = (Option<(u64, u64)>, Option<u64>);

    fn read(text: &str) -> Option<Read> {
        let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, text.parse().unwrap())]);
        ContentRange::read(&headers).map(|range| (range.bytes, range.total))
    }

    #[test]
    fn content_ranges_are_read_exactly() {
        assert_eq!(read("bytes 5-9/10"), Some((Some((5, 9)), Some(10))));
        assert_eq!(read("bytes 5-9/*"), Some((Some((5, 9)), None)));
        assert_eq!(read("bytes */0"), Some((None, Some(0))));
        for wrong in [
            "bytes 9-5/10",
            "bytes 5-10/10",
            "bytes 5-/10",
            "items 0-1/2",
            "bytes=0-1/2",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_nearly_a_content_range_is_sound_or_nothing() {
        let values = near(&["bytes 0-9/10", "bytes */10", "bytes 5-9/*"]);
        search(values, |value| {
            let Ok(value) = HeaderValue::from_bytes(&value) else {
                return Ok(());
            };
            let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, value)]);
            let Some(range) = ContentRange::read(&headers) else {
                return Ok(());
            };
            if let Some((first, last)) = range.bytes {
                prop_assert!(first <= last && last.checked_add(1).is_some());
                prop_assert!(range.total.is_none_or(|total| last < total));
            }
            Ok(())
        });
    }
}
