//! What an answer means, and how long to wait after a failure.

use std::time::Duration;

use http::StatusCode;

use crate::{
    client::{ClientError, Posted},
    jobs::backoff,
};

/// The first wait; doubled each time.
const SHORTEST: Duration = Duration::from_secs(1);
/// However long a receiver wants to be left alone.
const LONGEST_ASKED: Duration = Duration::from_hours(1);
/// A notice that the receiver calls wrong is not sent more often.
const MAX_REFUSALS: u64 = 5;

/// What becomes of a notice that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Delivered,
    /// The receiver will not take this one, ever.
    Refused(String),
    /// It is sent again, after so long.
    Failed(String, Duration),
}

/// What the answer to the try after so many in vain means.
pub(super) fn judge(answer: Result<Posted, ClientError>, attempts: u64) -> Verdict {
    let posted = match answer {
        Ok(posted) if posted.status.is_success() => return Verdict::Delivered,
        Ok(posted) => posted,
        Err(error) => return Verdict::Failed(error.message, wait(attempts, None)),
    };
    let message = format!("it answered {}", posted.status);
    if is_about_the_notice(posted.status) && attempts + 1 >= MAX_REFUSALS {
        return Verdict::Refused(message);
    }
    Verdict::Failed(message, wait(attempts, posted.retry_after))
}

/// Says that it is this document that is wrong, not the receiver or its place.
fn is_about_the_notice(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 415 | 422)
}

/// At least as long as the receiver asks for.
pub(super) fn wait(attempts: u64, asked: Option<Duration>) -> Duration {
    let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
    backoff(SHORTEST, attempts).max(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, attempts: u64) -> Verdict {
        let status = StatusCode::from_u16(status).unwrap();
        let retry_after = None;
        judge(
            Ok(Posted {
                status,
                retry_after,
            }),
            attempts,
        )
    }

    #[test]
    fn a_success_is_a_delivery_and_all_else_is_tried_again() {
        assert_eq!(answered(204, 0), Verdict::Delivered);
        for status in [301, 307, 401, 403, 404, 408, 410, 429, 500, 503] {
            let verdict = answered(status, 1000);
            assert!(
                matches!(verdict, Verdict::Failed(..)),
                "{status}: {verdict:?}"
            );
        }
    }

    #[test]
    fn what_the_receiver_calls_wrong_again_and_again_does_not_hold_up_the_rest() {
        for attempts in 0..4 {
            assert!(matches!(answered(422, attempts), Verdict::Failed(..)));
        }
        assert!(matches!(answered(422, 4), Verdict::Refused(_)));
    }

    #[test]
    fn waits_grow_from_a_second_to_minutes_and_the_receiver_may_ask_for_more() {
        let around = |attempts, seconds: f64| {
            let ratio = wait(attempts, None).as_secs_f64() / seconds;
            assert!((0.79..1.21).contains(&ratio), "{attempts}: {ratio}");
        };
        around(0, 1.0);
        around(3, 8.0);
        around(9, 300.0);
        around(u64::MAX, 300.0);
        let asked = Duration::from_secs(900);
        assert_eq!(wait(0, Some(asked)), asked);
        assert_eq!(wait(0, Some(asked * 100)), LONGEST_ASKED);
    }
}
