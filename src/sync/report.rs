//! What a sync says while it runs and at its end, in the words that people's scripts look for.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

/// How bad a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// A line of the log: `time="2006-01-02 15:04:05" level=info msg="…"`, in UTC.
pub fn line(at: SystemTime, level: Level, message: &str) -> String {
    let at = humantime::format_rfc3339_seconds(at).to_string();
    let at = at.replace('T', " ");
    let level = match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let at = at.trim_end_matches('Z');
    format!("time=\"{at}\" level={level} msg={}\n", quoted(message))
}

/// A text as it stands in a line of a log: quoted, with control characters written out.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => {
                write!(quoted, "\\u{:04x}", u32::from(c))
                    .expect("writing to a String does not fail");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The last line of every run.
pub fn closing(failed: usize, cost: Duration) -> String {
    format!(
        "Synchronization finished, {failed} tasks failed, cost {}.",
        cost_text(cost)
    )
}

/// A duration as Go writes it: `1h2m3.5s`, `850ms`.
fn cost_text(cost: Duration) -> String {
    if cost < Duration::from_secs(1) {
        return format!("{}ms", cost.as_millis());
    }
    let seconds = cost.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest =
        Duration::from_secs(seconds % 60) + Duration::from_millis(u64::from(cost.subsec_millis()));
    let rest = format!("{}s", rest.as_secs_f64());
    match (hours, minutes) {
        (0, 0) => rest,
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_level_and_message() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_136_214_245);
        assert_eq!(
            line(at, Level::Info, "say \"hi\"\nagain"),
            "time=\"2006-01-02 15:04:05\" level=info msg=\"say \\\"hi\\\"\\nagain\"\n"
        );
    }

    #[test]
    fn the_closing_line_is_the_one_that_scripts_know() {
        for (milliseconds, cost) in [
            (850, "850ms"),
            (3_500, "3.5s"),
            (62_000, "1m2s"),
            (3_723_250, "1h2m3.25s"),
        ] {
            let line = closing(2, Duration::from_millis(milliseconds));
            assert_eq!(
                line,
                format!("Synchronization finished, 2 tasks failed, cost {cost}.")
            );
        }
    }
}
