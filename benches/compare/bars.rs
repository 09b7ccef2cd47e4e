//! What the figures have to reach.

use crate::cold::{Cold, DIRECT};
use crate::crowd::Crowd;
use crate::hits::Hits;
use crate::samples::Samples;
use crate::server::Mirror;

pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) limit: Limit,
    /// None when it was not measured in this run.
    pub(crate) measured: Option<f64>,
    pub(crate) unit: &'static str,
}

#[derive(Clone, Copy)]
pub(crate) enum Limit {
    AtMost(f64),
    MoreThan(f64),
}

/// Heads of answers and requests for the size are no download.
const ONE_DOWNLOAD: f64 = 1.01;
const MAX_FIRST_BYTE_MS: f64 = 20.0;
const MAX_SLOWEST: f64 = 4.0;
const MAX_IDLE_MIB: f64 = 40.0;

impl Bar {
    fn at_most(name: &str, limit: f64, unit: &'static str, measured: Option<f64>) -> Self {
        Self {
            name: name.to_owned(),
            limit: Limit::AtMost(limit),
            measured,
            unit,
        }
    }

    pub(crate) fn holds(&self) -> Option<bool> {
        self.measured.map(|measured| match self.limit {
            Limit::AtMost(limit) => measured <= limit,
            Limit::MoreThan(limit) => measured > limit,
        })
    }
}

pub(crate) fn judge(idle: &Samples, cold: &[Cold], crowd: &Crowd, hits: &[Hits]) -> Vec<Bar> {
    let name = Mirror::Entrepot.name();
    let downloads = crowd.downloads.median(name);
    let mut bars = vec![Bar::at_most(
        "downloads for the crowd",
        ONE_DOWNLOAD,
        "×",
        downloads,
    )];
    for cold in cold {
        let Some(limit) = cold.setting.bar else {
            continue;
        };
        let what = format!("cold pull ÷ direct, remote {}", cold.setting.name);
        bars.push(Bar::at_most(
            &what,
            limit,
            "×",
            cold.seconds.ratio(name, DIRECT),
        ));
    }
    let slowest = crowd.seconds.ratio(name, DIRECT);
    bars.push(Bar::at_most(
        "slowest of the crowd ÷ direct",
        MAX_SLOWEST,
        "×",
        slowest,
    ));
    for cold in cold {
        let what = format!("first byte − direct, remote {}", cold.setting.name);
        let later = cold.first_byte_ms.difference(name, DIRECT);
        bars.push(Bar::at_most(&what, MAX_FIRST_BYTE_MS, " ms", later));
    }
    bars.push(Bar::at_most(
        "idle memory",
        MAX_IDLE_MIB,
        " MiB",
        idle.median(name),
    ));
    for peer in [Mirror::Distribution, Mirror::DockerRegistry] {
        bars.extend(hits.iter().map(|hits| Bar {
            name: format!("{} ÷ {}", hits.name, peer.name()),
            limit: Limit::MoreThan(1.0),
            measured: hits.rate.ratio(name, peer.name()),
            unit: "×",
        }));
    }
    bars
}
