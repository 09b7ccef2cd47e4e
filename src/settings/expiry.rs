//! Credentials of remotes that end: the log tells it two weeks and a day before, and when they have ended.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Settings, SettingsError, members};

const LOOK_EVERY: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// How long before the end it is told.
const LEADS: [Duration; 3] = [Duration::from_hours(14 * 24), DAY, Duration::ZERO];

impl Settings {
    /// When the credentials of remotes end, where that is known, by the remotes' names.
    pub async fn expiring_credentials(
        &self,
    ) -> Result<BTreeMap<String, SystemTime>, SettingsError> {
        let rows = self.inner.parts.meta.remotes().await?;
        let expiring = rows
            .into_iter()
            .filter_map(|row| Some((row.name, expires_at(&members(&row.members))?)));
        Ok(expiring.collect())
    }

    /// Tells of credentials that end, until the shutdown.
    pub async fn run_expiry(self, shutdown: CancellationToken) {
        let mut last = SystemTime::UNIX_EPOCH;
        let mut turn = async || {
            let now = SystemTime::now();
            match self.expiring_credentials().await {
                Ok(expiring) => {
                    for (remote, at) in &expiring {
                        if is_due(*at, last, now) {
                            tell(remote, *at, now);
                        }
                    }
                    last = now;
                }
                Err(error) => warn!(%error, "cannot look for credentials that end: {error}"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        while shutdown.run_until_cancelled(turn()).await.is_some() {}
    }
}

fn tell(remote: &str, at: SystemTime, now: SystemTime) {
    let when = humantime::format_rfc3339_seconds(at);
    let Ok(left) = at.duration_since(now) else {
        return warn!(
            remote,
            "the credentials of remote `{remote}` have ended at {when}"
        );
    };
    let days = left.as_secs() / DAY.as_secs();
    warn!(
        remote,
        "the credentials of remote `{remote}` end at {when}, in {days} days"
    );
}

/// Has one of the moments come since the last look at which it is told?
fn is_due(at: SystemTime, last: SystemTime, now: SystemTime) -> bool {
    let mut moments = LEADS.into_iter().filter_map(|lead| at.checked_sub(lead));
    moments.any(|moment| last < moment && moment <= now)
}

fn expires_at(members: &Map<String, Value>) -> Option<SystemTime> {
    let text = members.get("credentials_expire_at")?.as_str()?;
    humantime::parse_rfc3339(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_two_weeks_and_a_day_before_and_at_the_end() {
        let end = SystemTime::UNIX_EPOCH + DAY * 1000;
        let told: Vec<u32> = (960..=1001)
            .filter(|day| {
                let now = SystemTime::UNIX_EPOCH + DAY * *day;
                is_due(end, now - DAY, now)
            })
            .collect();
        assert_eq!(told, [986, 999, 1000]);
        // Who starts within the two weeks is told at once.
        let now = end - DAY * 3;
        assert!(is_due(end, SystemTime::UNIX_EPOCH, now));
        assert!(!is_due(end, SystemTime::UNIX_EPOCH, end - DAY * 30));
    }
}
