//! What the figures have to reach.

use crate::cold::DIRECT;
use crate::crowd::Crowd;
use crate::deliveries::ENTREPOT;
use crate::orphans;
use crate::replication::{DESTINATIONS, OURS, PEERS, TRANSFERS};
use crate::rows::{EVICTING, FULL, QUIET};
use crate::section::Figures;
use crate::server::Mirror;
use crate::slow_readers::READERS;
use crate::tags;
use crate::warm_tag::PULLS;

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
const MAX_IDLE_MIB: f64 = 40.0;
const MAX_SLOW_READERS_MIB: f64 = 128.0;
const MAX_START_SECONDS: f64 = 1.0;
/// Of the p99 while blobs that nobody has are looked for.
const MAX_CLEANING: f64 = 2.0;
/// Of the p99 while images are evicted.
const MAX_EVICTING: f64 = 2.0;
/// Of the seconds that a peer takes.
const MAX_PUSH: f64 = 1.0;
/// Of the time for a page of few tags.
const MAX_TAGS: f64 = 2.0;

/// Of the fastest peer's seconds, to one destination.
const MAX_REPLICATION: f64 = 1.0;
/// Of the same, to five at once.
const MAX_FIVE: f64 = 0.5;
/// One HEAD, and a question who is there for all tags together.
const ONE_HEAD: f64 = 1.05;
const MAX_REPLICATION_MIB: f64 = 128.0;
const MAX_DELIVERY_SECONDS: f64 = 2.0;
const MAX_STORM_SECONDS: f64 = 300.0;
const MAX_PLAN_SECONDS: f64 = 10.0;
const MAX_ASK_MS: f64 = 1.0;

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

pub(crate) fn judge(figures: &Figures) -> Vec<Bar> {
    let mut bars: Vec<Bar> = figures.crowds.iter().flat_map(judge_crowd).collect();
    bars.extend(judge_cold(figures));
    bars.extend(judge_caches(figures));
    bars.extend(judge_hits(figures));
    bars.extend(judge_hosting(figures));
    bars.extend(judge_replication(figures));
    bars.extend(judge_deliveries(figures));
    bars
}

fn judge_crowd(crowd: &Crowd) -> Vec<Bar> {
    let name = Mirror::Entrepot.name();
    let what = |what| format!("{}: {what}", crowd.setting.name);
    let downloads = crowd.downloads.median(name);
    let mut bars = vec![Bar::at_most(
        &what("downloads"),
        ONE_DOWNLOAD,
        "×",
        downloads,
    )];
    bars.extend(crowd.setting.max_slowest.map(|limit| {
        let measured = crowd.seconds.ratio(name, DIRECT);
        Bar::at_most(&what("slowest ÷ direct"), limit, "×", measured)
    }));
    bars.extend(crowd.setting.max_first_byte_ms.map(|limit| {
        let measured = crowd.first_byte_ms.median(name);
        Bar::at_most(&what("median first byte"), limit, " ms", measured)
    }));
    bars
}

fn judge_cold(figures: &Figures) -> Vec<Bar> {
    let name = Mirror::Entrepot.name();
    let ratios = figures.cold.iter().filter_map(|cold| {
        let what = format!("cold pull ÷ direct, remote {}", cold.setting.name);
        let ratio = cold.seconds.ratio(name, DIRECT);
        Some(Bar::at_most(&what, cold.setting.bar?, "×", ratio))
    });
    let first_bytes = figures.cold.iter().map(|cold| {
        let what = format!("first byte − direct, remote {}", cold.setting.name);
        let later = cold.first_byte_ms.difference(name, DIRECT);
        Bar::at_most(&what, MAX_FIRST_BYTE_MS, " ms", later)
    });
    ratios.chain(first_bytes).collect()
}

fn judge_caches(figures: &Figures) -> [Bar; 5] {
    let name = Mirror::Entrepot.name();
    let rows = &figures.rows;
    [
        Bar::at_most(
            "idle memory",
            MAX_IDLE_MIB,
            " MiB",
            figures.idle.median(name),
        ),
        Bar::at_most(
            &format!("peak memory, {READERS} slow readers"),
            MAX_SLOW_READERS_MIB,
            " MiB",
            figures.slow_readers.peak_mib.median(name),
        ),
        Bar::at_most(
            &format!("requests to the remote, {PULLS} pulls of a warm tag"),
            0.0,
            "",
            figures.warm_tag.median(name),
        ),
        Bar::at_most(
            "start of a large store",
            MAX_START_SECONDS,
            " s",
            rows.start_seconds.median(FULL),
        ),
        Bar::at_most(
            "p99 of a cached manifest, evicting ÷ quiet",
            MAX_EVICTING,
            "×",
            rows.p99_ms.ratio(EVICTING, QUIET),
        ),
    ]
}

fn judge_hits(figures: &Figures) -> Vec<Bar> {
    let name = Mirror::Entrepot.name();
    let mut bars = Vec::new();
    for peer in [Mirror::Distribution, Mirror::DockerRegistry] {
        bars.extend(figures.hits.iter().map(|hits| Bar {
            name: format!("{} ÷ {}", hits.name, peer.name()),
            limit: Limit::MoreThan(1.0),
            measured: hits.rate.ratio(name, peer.name()),
            unit: "×",
        }));
    }
    bars
}

fn judge_hosting(figures: &Figures) -> Vec<Bar> {
    let peer = Mirror::Distribution.name();
    let pushes = figures.pushes.iter().map(|push| {
        let what = format!("push by {} ÷ {peer}", push.name);
        let ratio = push.seconds.ratio(Mirror::Entrepot.name(), peer);
        Bar::at_most(&what, MAX_PUSH, "×", ratio)
    });
    let pages = tags::PLACES.into_iter().map(|place| {
        let what = format!("100 of 100,000 tags, {place} ÷ 100 of 100");
        let ratio = figures.tags.microseconds.ratio(place, tags::ALL_OF_FEW);
        Bar::at_most(&what, MAX_TAGS, "×", ratio)
    });
    let cleaning = figures
        .orphans
        .p99_ms
        .ratio(orphans::CLEANING, orphans::QUIET);
    let what = "p99 of a manifest, cleaning up ÷ quiet";
    let cleaning = Bar::at_most(what, MAX_CLEANING, "×", cleaning);
    pushes.chain(pages).chain([cleaning]).collect()
}

fn judge_replication(figures: &Figures) -> Vec<Bar> {
    let copies = &figures.replication;
    let [skopeo, regsync] = PEERS;
    let of_ours = OURS.into_iter().flat_map(|ours| {
        let first = copies.first.ratio(ours, skopeo);
        let again = copies.again.ratio(ours, regsync);
        let what = |what: &str| format!("{ours}: {what}");
        [
            Bar::at_most(
                &what(&format!("20 images ÷ {skopeo}")),
                MAX_REPLICATION,
                "×",
                first,
            ),
            Bar::at_most(
                &what(&format!("again ÷ {regsync}")),
                MAX_REPLICATION,
                "×",
                again,
            ),
            Bar::at_most(
                &what("requests at the destination for a tag, again"),
                ONE_HEAD,
                "",
                copies.requests.median(ours),
            ),
            Bar::at_most(
                &what(&format!("to {DESTINATIONS} ÷ the fastest other")),
                MAX_FIVE,
                "×",
                copies.five_to_fastest(ours),
            ),
            Bar::at_most(
                &what(&format!("peak memory, {TRANSFERS} transfers")),
                MAX_REPLICATION_MIB,
                " MiB",
                copies.peak_mib.median(ours),
            ),
        ]
    });
    of_ours.collect()
}

fn judge_deliveries(figures: &Figures) -> [Bar; 4] {
    let deliveries = &figures.deliveries;
    let bar = |what, limit, unit, samples: &crate::samples::Samples| {
        Bar::at_most(what, limit, unit, samples.median(ENTREPOT))
    };
    [
        bar(
            "p99 from a push to its tag at a destination",
            MAX_DELIVERY_SECONDS,
            " s",
            &deliveries.p99_seconds,
        ),
        bar(
            "the last of many tags, after its push",
            MAX_STORM_SECONDS,
            " s",
            &deliveries.storm_seconds,
        ),
        bar(
            "planning 100,000 tags",
            MAX_PLAN_SECONDS,
            " s",
            &deliveries.plan_seconds,
        ),
        bar(
            "processor time to ask for a tag",
            MAX_ASK_MS,
            " ms",
            &deliveries.ask_ms,
        ),
    ]
}
