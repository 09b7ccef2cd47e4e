//! Progress of transfers: on a terminal one line on stderr that is written anew, with bytes, rate and the time that is
//! left; elsewhere nothing but the lines of what is done.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::output::{print, size};
use crate::transfer::send::Progress;

const EVERY: Duration = Duration::from_millis(200);
pub(super) const CLEAR_LINE: &str = "\r\x1b[2K";

/// What runs, and who sees it.
pub(super) struct Watch {
    all: Mutex<Vec<Progress>>,
    expected: AtomicUsize,
    done: AtomicUsize,
    began: Instant,
    on_terminal: bool,
    end: CancellationToken,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            all: Mutex::default(),
            expected: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            began: Instant::now(),
            on_terminal: io::stderr().is_terminal(),
            end: CancellationToken::new(),
        }
    }
}

impl Watch {
    pub(super) fn expect(&self, count: usize) {
        self.expected.store(count, Relaxed);
    }

    /// One more transfer begins.
    pub(super) fn begin(&self) -> Progress {
        let progress = Progress::default();
        self.all().push(progress.clone());
        progress
    }

    pub(super) fn done(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.end.cancel();
    }

    /// Writes a line to stdout, out of the way of the progress.
    pub(super) fn say(&self, line: &str) {
        self.clear();
        print(&format!("{line}\n"));
    }

    /// Shows the progress until the end.
    pub(super) async fn show(&self) {
        if !self.on_terminal {
            return;
        }
        let show = async {
            loop {
                tokio::time::sleep(EVERY).await;
                // Nobody is left to see it when stderr is closed.
                let _ = write!(io::stderr(), "{CLEAR_LINE}{}", self.line());
            }
        };
        self.end.run_until_cancelled(show).await;
        self.clear();
    }

    fn clear(&self) {
        if self.on_terminal {
            let _ = write!(io::stderr(), "{CLEAR_LINE}");
        }
    }

    fn line(&self) -> String {
        let (mut sent, mut left) = (0, 0);
        for progress in &*self.all() {
            let counted = progress.read();
            sent += counted.bytes_sent;
            let handled = counted.bytes_sent + counted.bytes_skipped;
            left += counted.bytes_total.saturating_sub(handled);
        }
        let (done, expected) = (self.done.load(Relaxed), self.expected.load(Relaxed));
        let counts = (done as u64, expected as u64);
        status(counts, (sent, left), self.began.elapsed())
    }

    fn all(&self) -> MutexGuard<'_, Vec<Progress>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `3/10 · 120 MiB sent · 45 MiB/s · 20s left`
pub(super) fn status(
    (done, expected): (u64, u64),
    (sent, left): (u64, u64),
    elapsed: Duration,
) -> String {
    let milliseconds = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let rate = sent.saturating_mul(1000) / milliseconds;
    let mut text = format!("{done}/{expected} · {} sent · {}/s", size(sent), size(rate));
    if let Some(seconds) = left.checked_div(rate).filter(|_| left > 0) {
        let rest = humantime::format_duration(Duration::from_secs(seconds));
        write!(text, " · {rest} left").expect("writing to a String does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_bytes_rate_and_the_time_that_is_left() {
        let mib = 1 << 20;
        let line = status((3, 10), (100 * mib, 200 * mib), Duration::from_secs(10));
        assert_eq!(line, "3/10 · 100.0 MiB sent · 10.0 MiB/s · 20s left");
        assert_eq!(
            status((0, 1), (0, 0), Duration::ZERO),
            "0/1 · 0 B sent · 0 B/s"
        );
    }
}
