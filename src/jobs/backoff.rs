//! How long to wait before what failed is tried again.

use std::time::Duration;

use rand::RngExt;

const LONGEST: Duration = Duration::from_secs(300);
/// By then every wait is the longest.
const MOST_DOUBLINGS: u64 = 16;

/// The shortest wait, doubled so often, up to five minutes; a fifth more or less, so that many that failed together do not come
/// back together.
pub fn backoff(shortest: Duration, doublings: u64) -> Duration {
    let doublings = u32::try_from(doublings.min(MOST_DOUBLINGS)).expect("at most 16");
    let wait = shortest.saturating_mul(1 << doublings).min(LONGEST);
    wait.mul_f64(rand::rng().random_range(0.8..1.2))
}
