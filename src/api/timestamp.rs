//! Times of the API: RFC 3339, UTC, to the millisecond.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use utoipa::ToSchema;

/// A moment, such as `2026-11-21T08:44:10.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Timestamp(SystemTime);

/// The last second that four digits of a year can name.
const END_SECONDS: u64 = 253_402_300_799;

impl From<SystemTime> for Timestamp {
    /// Times that the form cannot name become the nearest one that it can.
    fn from(time: SystemTime) -> Self {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(END_SECONDS);
        Self(time.clamp(SystemTime::UNIX_EPOCH, end))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_rfc3339_millis(self.0).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text).map_err(D::Error::custom)?;
        Ok(time.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(time: SystemTime) -> String {
        Timestamp::from(time).to_string()
    }

    #[test]
    fn a_time_is_written_as_rfc_3339_and_read_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_250_650_120);
        assert_eq!(text(time), "2026-11-21T08:44:10.120Z");
        let json = serde_json::to_string(&Timestamp::from(time)).unwrap();
        assert_eq!(
            serde_json::from_str::<Timestamp>(&json).unwrap(),
            time.into()
        );
    }

    #[test]
    fn no_time_that_a_row_can_hold_is_too_early_or_too_late() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(text(before), "1970-01-01T00:00:00.000Z");
        let after = SystemTime::UNIX_EPOCH + Duration::from_secs(END_SECONDS + 1);
        assert_eq!(text(after), "9999-12-31T23:59:59.000Z");
    }
}
