//! How the rest of a blob is asked for: by its range, or all of the blob once more, read past what is here, from a remote
//! that answers ranges badly.
//!
//! ```text
//! by range ─ refused ─ waits ─► by range ─ refused ─► all of it ─ broken, or refused too ─ waits ─► by range …
//! ```
//!
//! 416 is such a refusal, too, unless what is here tells that there is no more.

use super::origin::OriginError;

/// So many refusals are believed: one alone may be an accident, and a range costs less than all of the blob.
const REFUSALS_BELIEVED: u32 = 2;

/// How one download asks for what is missing.
#[derive(Default)]
pub(super) struct Resume {
    /// All of it is asked for next.
    for_all: bool,
    /// Refusals since a range was last answered.
    refusals: u32,
    /// All of it was asked for, and came up to this byte and no further.
    nothing_after: Option<u64>,
}

/// What a request that failed says about ranges.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nothing.
    No,
    /// The range was refused, perhaps by accident.
    AskAgain,
    /// All of the blob is to be asked for, now.
    AskForAll,
    /// The remote has no more than what is here: the digest decides.
    End,
}

impl Resume {
    /// The first byte that a remote is to be asked for, with so many here.
    pub(super) fn ask_from(&self, here: u64) -> u64 {
        if self.for_all { 0 } else { here }
    }

    /// An answer broke. `caught_up`: it sent all that was here before.
    pub(super) fn broke(&mut self, here_before: u64, here: u64, caught_up: bool) {
        if !std::mem::take(&mut self.for_all) {
            self.refusals = 0;
        } else if caught_up && here == here_before {
            self.nothing_after = Some(here);
        }
    }

    /// There was no answer with content. `is_whole`: is the digest that of what is here?
    pub(super) fn failed(
        &mut self,
        error: &OriginError,
        here: u64,
        total: Option<u64>,
        is_whole: impl FnOnce() -> bool,
    ) -> Refused {
        let asked_for_all = std::mem::take(&mut self.for_all);
        if here == 0 || asked_for_all {
            return Refused::No;
        }
        if error.is_past_end() {
            let no_more_announced = total.is_some_and(|total| total <= here);
            if no_more_announced || self.nothing_after == Some(here) || is_whole() {
                return Refused::End;
            }
        } else if !error.refuses_range() {
            return Refused::No;
        }
        self.refusals += 1;
        if self.refusals < REFUSALS_BELIEVED {
            return Refused::AskAgain;
        }
        self.for_all = true;
        Refused::AskForAll
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ClientError, ErrorKind};

    fn refusal(kind: ErrorKind, status: Option<u16>) -> OriginError {
        OriginError::Remote(ClientError {
            kind,
            remote: "r".into(),
            message: String::new(),
            status,
            retry_after: None,
            tag_state: None,
        })
    }

    fn failed(resume: &mut Resume, error: &OriginError, total: Option<u64>) -> Refused {
        resume.failed(error, 10, total, || false)
    }

    #[test]
    fn a_range_that_is_refused_twice_is_followed_by_all_of_it() {
        let invalid = refusal(ErrorKind::Invalid, None);
        let mut resume = Resume::default();
        assert_eq!(failed(&mut resume, &invalid, None), Refused::AskAgain);
        assert_eq!(resume.ask_from(10), 10);
        assert_eq!(failed(&mut resume, &invalid, None), Refused::AskForAll);
        assert_eq!(resume.ask_from(10), 0);
        // All of it is refused, too: by range again, and then all of it at once.
        assert_eq!(failed(&mut resume, &invalid, None), Refused::No);
        assert_eq!(resume.ask_from(10), 10);
        assert_eq!(failed(&mut resume, &invalid, None), Refused::AskForAll);
        // Of a remote that takes ranges after all, one refusal is an accident again.
        resume.broke(10, 12, true);
        resume.broke(12, 13, true);
        assert_eq!(failed(&mut resume, &invalid, None), Refused::AskAgain);
    }

    #[test]
    fn what_says_nothing_about_ranges_is_no_refusal() {
        let mut resume = Resume::default();
        for (kind, status) in [
            (ErrorKind::NotFound, Some(404)),
            (ErrorKind::Invalid, Some(404)),
            (ErrorKind::Denied, Some(401)),
            (ErrorKind::RateLimited, Some(429)),
            (ErrorKind::Unreachable, Some(500)),
            (ErrorKind::Unreachable, Some(503)),
            (ErrorKind::Unreachable, None),
            (ErrorKind::TimedOut, None),
            (ErrorKind::Credentials, Some(403)),
        ] {
            let error = refusal(kind, status);
            assert_eq!(failed(&mut resume, &error, None), Refused::No, "{error:?}");
        }
        for (kind, status) in [
            (ErrorKind::Denied, 403),
            (ErrorKind::Invalid, 400),
            (ErrorKind::Invalid, 405),
            (ErrorKind::Unreachable, 501),
        ] {
            let (mut resume, error) = (Resume::default(), refusal(kind, Some(status)));
            let refused = failed(&mut resume, &error, None);
            assert_eq!(refused, Refused::AskAgain, "{error:?}");
        }
        // Nothing is here, so no range was asked for.
        let invalid = refusal(ErrorKind::Invalid, None);
        assert_eq!(
            Resume::default().failed(&invalid, 0, None, || false),
            Refused::No
        );
    }

    #[test]
    fn a_416_is_believed_where_there_can_be_no_more() {
        let past_end = refusal(ErrorKind::Invalid, Some(416));
        let mut resume = Resume::default();
        let whole = resume.failed(&past_end, 10, Some(20), || true);
        assert_eq!(whole, Refused::End);
        assert_eq!(failed(&mut resume, &past_end, Some(10)), Refused::End);
        assert_eq!(failed(&mut resume, &past_end, Some(20)), Refused::AskAgain);
        assert_eq!(failed(&mut resume, &past_end, None), Refused::AskForAll);
        // It broke before it came to what is missing.
        resume.broke(10, 10, false);
        assert_eq!(failed(&mut resume, &past_end, Some(20)), Refused::AskForAll);
        // It had no more.
        resume.broke(10, 10, true);
        assert_eq!(failed(&mut resume, &past_end, Some(20)), Refused::End);
    }
}
