//! How our types are kept in columns: times as milliseconds, sizes as BIGINT, the rest as text.

use std::{
    fmt::Display,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::MetaError;

/// Milliseconds since 1970; what is outside the column's range is put at its end.
pub(super) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The opposite of [`milliseconds`].
pub(super) fn time(milliseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}

/// Milliseconds; what is outside the column's range is put at its end.
pub(super) fn duration(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The size of content that is here; none is larger than the column's range.
pub(super) fn size(size_bytes: u64) -> i64 {
    i64::try_from(size_bytes).unwrap_or(i64::MAX)
}

/// A size that somebody else stated: beyond the column's range it is no statement.
pub(super) fn stated_size(size_bytes: Option<u64>) -> Option<i64> {
    size_bytes.and_then(|size| i64::try_from(size).ok())
}

/// A size as read.
pub(super) fn size_read(size_bytes: i64) -> Result<u64, MetaError> {
    u64::try_from(size_bytes).map_err(|_| MetaError::Corrupt(format!("size {size_bytes}")))
}

/// A digest, name or tag as read.
pub(super) fn parsed<T>(text: &str) -> Result<T, MetaError>
where
    T: FromStr<Err: Display>,
{
    text.parse()
        .map_err(|error| MetaError::Corrupt(format!("`{text}`: {error}")))
}
