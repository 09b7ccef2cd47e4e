//! When a rule with a `cron` trigger acts: five fields or `@daily` and the like, in a time zone. Pure.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};

/// Times of day that come again and again.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    cron: Box<Cron>,
    zone: TimeZone,
}

impl Schedule {
    /// UTC, or the zone of this name in the tables that come with the program.
    pub fn zone(name: Option<&str>) -> Result<TimeZone, String> {
        let Some(name) = name else {
            return Ok(TimeZone::UTC);
        };
        TimeZone::get(name)
            .map_err(|_| format!("`{name}` is no time zone; expected one such as `Europe/Zurich`"))
    }

    /// Refuses what never comes.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, String> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(text).map_err(|error| {
            format!("expected minute, hour, day, month and weekday, such as \"30 2 * * 1-5\", or `@daily`: {error}")
        })?;
        let schedule = Self {
            text: text.to_owned(),
            cron: Box::new(cron),
            zone,
        };
        match schedule.after(SystemTime::now()) {
            Some(_) => Ok(schedule),
            None => Err("this time never comes".to_owned()),
        }
    }

    /// The first time after this one; `None`: there is none.
    pub fn after(&self, time: SystemTime) -> Option<SystemTime> {
        let time = Timestamp::try_from(time).ok()?.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&time, false).ok()?;
        let milliseconds = u64::try_from(next.timestamp().as_millisecond()).ok()?;
        Some(SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds))
    }

    /// The zone's name.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    fn next(cron: &str, zone: Option<&str>, after: &str) -> String {
        let schedule = Schedule::parse(cron, Schedule::zone(zone).unwrap()).unwrap();
        let next = schedule.after(time(after)).unwrap();
        humantime::format_rfc3339_seconds(next).to_string()
    }

    #[test]
    fn a_time_comes_after_the_one_before() {
        let noon = "2026-11-21T12:00:00Z";
        assert_eq!(next("0 12 * * *", None, noon), "2026-11-22T12:00:00Z");
        assert_eq!(next("*/15 * * * *", None, noon), "2026-11-21T12:15:00Z");
        assert_eq!(next("30 2 * * 1-5", None, noon), "2026-11-23T02:30:00Z");
        assert_eq!(next("@daily", None, noon), "2026-11-22T00:00:00Z");
    }

    #[test]
    fn the_hour_is_that_of_the_zone_in_summer_and_in_winter() {
        let zurich = Some("Europe/Zurich");
        assert_eq!(
            next("0 3 * * *", zurich, "2026-07-01T12:00:00Z"),
            "2026-07-02T01:00:00Z"
        );
        assert_eq!(
            next("0 3 * * *", zurich, "2026-12-01T12:00:00Z"),
            "2026-12-02T02:00:00Z"
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "x",
            "0 0 * *",
            "61 * * * *",
            "0 0 0 * * *",
            "0 0 31 2 *",
            "@never",
        ] {
            assert!(Schedule::parse(text, TimeZone::UTC).is_err(), "{text}");
        }
        assert!(Schedule::zone(Some("Nowhere/Town")).is_err());
    }
}
