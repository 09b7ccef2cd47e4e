//! The figures as Markdown.

use std::fmt::Write as _;

use crate::bars::{Bar, Limit};
use crate::cold::{self, DIRECT};
use crate::crowd;
use crate::hits::{self, Hits};
use crate::memory::MemoryTable;
use crate::plan::KIB;
use crate::pushes;
use crate::rows;
use crate::section::{Figures, Section};
use crate::server::{Mirror, NGINX};
use crate::slow_readers;
use crate::warm_tag;

const BEGIN_MARK: &str = "<!-- figures: written by `make bench-docs` -->";
const END_MARK: &str = "<!-- end of the figures -->";

pub(crate) struct Report {
    pub(crate) is_quick: bool,
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) bars: Vec<Bar>,
    pub(crate) figures: Figures,
    pub(crate) memory: MemoryTable,
}

/// Puts `figures` between the marks of a document; none if it lacks them.
pub(crate) fn replace_figures(document: &str, figures: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN_MARK)?;
    let (_, after) = rest.split_once(END_MARK)?;
    Some(format!(
        "{before}{BEGIN_MARK}\n\n{figures}\n{END_MARK}{after}"
    ))
}

impl Report {
    /// A bar that was not measured does not count.
    pub(crate) fn all_bars_hold(&self) -> bool {
        let mut bars = self.bars.iter();
        self.figures.failed.is_empty() && bars.all(|bar| bar.holds().unwrap_or(true))
    }

    pub(crate) fn text(&self) -> String {
        let quick = if self.is_quick {
            "**A quick trial: these figures mean little.**\n\n"
        } else {
            ""
        };
        let mut text = format!("{quick}### Machine\n\n{}", self.machine_table());
        let tables = [
            (None, "Bars", self.bar_table()),
            (Some(Section::Cold), "Cold pull: seconds", self.cold_table()),
            (
                Some(Section::Cold),
                "Cold pull: first byte",
                self.first_byte_table(),
            ),
            (
                Some(Section::Crowd),
                "A crowd on one cold blob",
                self.crowd_table(false),
            ),
            (
                Some(Section::Replicas),
                "A crowd at three replicas",
                self.crowd_table(true),
            ),
            (Some(Section::Hits), "Hits", self.hit_table()),
            (
                Some(Section::SlowReaders),
                "Slow readers",
                self.slow_reader_table(),
            ),
            (Some(Section::WarmTag), "A warm tag", self.warm_tag_table()),
            (Some(Section::Rows), "A large store", self.rows_table()),
            (
                Some(Section::Push),
                "Pushes",
                pushes::report(&self.figures.pushes),
            ),
            (Some(Section::Tags), "Many tags", self.figures.tags.report()),
            (
                Some(Section::Orphans),
                "Cleaning up",
                self.figures.orphans.report(),
            ),
            (
                Some(Section::Replication),
                "Replication",
                self.figures.replication.report(),
            ),
            (
                Some(Section::Deliveries),
                "Deliveries",
                self.figures.deliveries.report(),
            ),
            (None, "Memory", self.memory_table()),
        ];
        for (section, title, table) in tables {
            if section.is_none_or(|section| self.figures.has(section)) {
                write!(text, "\n### {title}\n\n{table}").expect("writing to a string");
            }
        }
        text
    }

    fn machine_table(&self) -> String {
        let rows = self
            .machine
            .iter()
            .map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
        table(&["what", "here"], rows)
    }

    fn bar_table(&self) -> String {
        let rows = self.bars.iter().map(|bar| {
            let limit = match bar.limit {
                Limit::AtMost(limit) => format!("≤ {limit}{}", bar.unit),
                Limit::MoreThan(limit) => format!("> {limit}{}", bar.unit),
            };
            let verdict = match bar.holds() {
                Some(true) => "pass",
                Some(false) => "**fail**",
                None => "not measured",
            };
            vec![
                bar.name.clone(),
                limit,
                figure(bar.measured, bar.unit),
                verdict.to_owned(),
            ]
        });
        table(&["bar", "limit", "measured", "verdict"], rows)
    }

    fn cold_table(&self) -> String {
        let rows = self.figures.cold.iter().map(|cold| {
            let direct = figure(cold.seconds.median(DIRECT), " s");
            let ratio = |mirror| figure(cold.seconds.ratio(mirror, DIRECT), "×");
            row(cold.setting.name, direct, ratio)
        });
        table(&mirror_header("remote", "direct"), rows)
    }

    fn first_byte_table(&self) -> String {
        let rows = self.figures.cold.iter().map(|cold| {
            let direct = figure(cold.first_byte_ms.median(DIRECT), " ms");
            let later = |mirror| signed(cold.first_byte_ms.difference(mirror, DIRECT), " ms");
            row(cold.setting.name, direct, later)
        });
        table(&mirror_header("remote", "direct"), rows)
    }

    fn crowd_table(&self, has_replicas: bool) -> String {
        let crowds = self.figures.crowds.iter();
        let crowds = crowds.filter(|crowd| crowd.setting.has_replicas == has_replicas);
        let rows = crowds.flat_map(|crowd| {
            let (seconds, waits) = (&crowd.seconds, &crowd.first_byte_ms);
            let name = |what| format!("{}: {what}", crowd.setting.name);
            let slowest = row(
                &name("slowest ÷ one direct pull"),
                figure(seconds.median(DIRECT), " s"),
                |mirror| figure(seconds.ratio(mirror, DIRECT), "×"),
            );
            let first_byte = row(
                &name("median first byte"),
                figure(waits.median(DIRECT), " ms"),
                |mirror| figure(waits.median(mirror), " ms"),
            );
            let downloads = row(
                &name("bytes from the remote ÷ bytes of the blob"),
                figure(crowd.downloads.median(DIRECT), "×"),
                |mirror| figure(crowd.downloads.median(mirror), "×"),
            );
            [slowest, first_byte, downloads]
        });
        table(&mirror_header("what", "direct, one client"), rows)
    }

    fn hit_table(&self) -> String {
        let rows = self.figures.hits.iter().map(|hits| {
            let nginx = hits
                .rate
                .median(NGINX)
                .map_or_else(missing, |rate| absolute(hits, rate));
            row(&hits.name, nginx, |mirror| {
                figure(hits.rate.ratio(mirror, NGINX), "×")
            })
        });
        table(&mirror_header("object", NGINX), rows)
    }

    fn slow_reader_table(&self) -> String {
        let measured = &self.figures.slow_readers;
        let rows = [
            peers("peak memory", |mirror| {
                figure(measured.peak_mib.median(mirror), " MiB")
            }),
            peers("received ÷ wanted", |mirror| {
                figure(measured.pace.median(mirror), "×")
            }),
        ];
        table(&peers_header("what"), rows)
    }

    fn warm_tag_table(&self) -> String {
        let what = format!("requests to the remote in {} pulls", warm_tag::PULLS);
        let requests = &self.figures.warm_tag;
        let row = peers(&what, |mirror| figure(requests.median(mirror), ""));
        table(&peers_header("what"), [row])
    }

    fn rows_table(&self) -> String {
        let rows = &self.figures.rows;
        let line = |what: String, value| vec![what, value];
        let lines = [
            line(
                "start, empty store".to_owned(),
                figure(rows.start_seconds.median(rows::EMPTY), " s"),
            ),
            line(
                format!("start, {} rows of blobs", rows.count),
                figure(rows.start_seconds.median(rows::FULL), " s"),
            ),
            line(
                "p99 of a cached manifest".to_owned(),
                figure(rows.p99_ms.median(rows::QUIET), " ms"),
            ),
            line(
                format!("the same while {} rows are evicted", rows.evicted),
                figure(rows.p99_ms.median(rows::EVICTING), " ms"),
            ),
            line(
                "evicting them".to_owned(),
                figure(rows.eviction_seconds, " s"),
            ),
        ];
        table(&["what", "entrepot"], lines)
    }

    fn memory_table(&self) -> String {
        let phases = [
            cold::PHASE,
            crowd::PHASE,
            hits::PHASE,
            slow_readers::PHASE,
            pushes::PHASE,
        ];
        let names = [NGINX].into_iter().chain(Mirror::ALL.map(Mirror::name));
        let rows = names.map(|name| {
            let idle = figure(self.figures.idle.median(name), " MiB");
            let peaks = phases.map(|phase| figure(self.memory.peak_mib(name, phase), " MiB"));
            [name.to_owned(), idle].into_iter().chain(peaks).collect()
        });
        let header = phases.map(|phase| format!("peak, {phase}"));
        let header = ["server", "idle"]
            .into_iter()
            .chain(header.iter().map(String::as_str));
        table(&header.collect::<Vec<_>>(), rows)
    }
}

/// Without a reference.
pub(crate) fn peers_header(what: &str) -> Vec<&str> {
    [what]
        .into_iter()
        .chain(Mirror::ALL.map(Mirror::name))
        .collect()
}

fn peers(name: &str, of: impl Fn(&'static str) -> String) -> Vec<String> {
    let mirrors = Mirror::ALL.map(|mirror| of(mirror.name()));
    [name.to_owned()].into_iter().chain(mirrors).collect()
}

fn mirror_header<'a>(what: &'a str, reference: &'a str) -> Vec<&'a str> {
    [what, reference]
        .into_iter()
        .chain(Mirror::ALL.map(Mirror::name))
        .collect()
}

fn row(name: &str, reference: String, of: impl Fn(&'static str) -> String) -> Vec<String> {
    let mirrors = Mirror::ALL.map(|mirror| of(mirror.name()));
    [name.to_owned(), reference]
        .into_iter()
        .chain(mirrors)
        .collect()
}

/// Requests for what is small, bytes for what is large.
fn absolute(hits: &Hits, rate: f64) -> String {
    if hits.content.bytes <= 64 * KIB {
        format!("{rate:.0} /s")
    } else {
        format!("{:.2} GB/s", rate * hits.content.bytes as f64 / 1e9)
    }
}

/// Three figures and the unit, or a dash.
pub(crate) fn figure(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(missing, |value| format!("{}{unit}", rounded(value)))
}

fn signed(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(missing, |value| {
        format!(
            "{}{}{unit}",
            if value < 0.0 { "" } else { "+" },
            rounded(value)
        )
    })
}

fn missing() -> String {
    "–".to_owned()
}

/// Three figures: more would be noise.
fn rounded(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// In Markdown.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!(
        "| {} |\n|{}\n",
        header.join(" | "),
        "---|".repeat(header.len())
    );
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).expect("writing to a string");
    }
    text
}
