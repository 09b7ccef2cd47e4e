//! Hours of the day, in UTC: when background work may use a remote.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const DAY_MINUTES: u64 = 24 * 60;

/// From one time of the day to another, which may be on the next day; the whole day if they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Minutes since midnight.
    from: u64,
    to: u64,
}

impl Hours {
    /// Two times such as `22:00-06:00`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        Some(Self {
            from: minutes(from)?,
            to: minutes(to)?,
        })
    }

    /// Is it one of these hours?
    pub fn contain(self, time: SystemTime) -> bool {
        let minute = minute_of(time);
        match self.from < self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }

    /// When these hours begin next, after a time that is none of them.
    pub fn begin_after(self, time: SystemTime) -> SystemTime {
        let wait = (self.from + DAY_MINUTES - minute_of(time)) % DAY_MINUTES;
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let minute = seconds.as_secs() / 60;
        UNIX_EPOCH + Duration::from_secs((minute + wait) * 60)
    }
}

/// Of the day.
fn minute_of(time: SystemTime) -> u64 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    seconds.as_secs() / 60 % DAY_MINUTES
}

fn minutes(text: &str) -> Option<u64> {
    let (hour, minute) = text.split_once(':').filter(|_| text.len() == 5)?;
    let (hour, minute): (u8, u8) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then(|| u64::from(hour) * 60 + u64::from(minute))
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |minutes: u64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{}-{}", time(self.from), time(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Hours {
        Hours::parse(text).unwrap()
    }

    fn at(time: &str) -> SystemTime {
        humantime::parse_rfc3339(&format!("2026-11-21T{time}Z")).unwrap()
    }

    #[test]
    fn hours_may_go_past_midnight() {
        for (text, inside, outside) in [
            (
                "22:00-06:00",
                ["22:00:00", "23:59:59", "00:00:00", "05:59:59"],
                ["06:00:00", "21:59:59"],
            ),
            (
                "08:30-12:00",
                ["08:30:00", "09:00:00", "11:00:00", "11:59:59"],
                ["12:00:00", "08:29:59"],
            ),
        ] {
            let hours = hours(text);
            assert!(inside.iter().all(|time| hours.contain(at(time))), "{text}");
            assert!(
                !outside.iter().any(|time| hours.contain(at(time))),
                "{text}"
            );
            assert_eq!(hours.to_string(), text);
        }
        assert!(hours("08:00-08:00").contain(at("07:59:59")));
    }

    #[test]
    fn the_next_of_them_is_today_or_tomorrow() {
        let evening = hours("22:00-23:00");
        assert_eq!(evening.begin_after(at("10:00:59")), at("22:00:00"));
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(evening.begin_after(at("23:00:00")), at("22:00:00") + day);
    }

    #[test]
    fn what_are_no_hours_is_refused() {
        for text in [
            "",
            "22:00",
            "24:00-06:00",
            "22:60-06:00",
            "2:00-06:00",
            "22:00-06:00-",
        ] {
            assert_eq!(Hours::parse(text), None, "{text}");
        }
    }
}
