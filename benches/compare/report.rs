//! The figures as Markdown.

use std::fmt::Write as _;

use crate::bars::{Bar, Limit};
use crate::cold::{self, Cold, DIRECT};
use crate::crowd::{self, Crowd};
use crate::hits::{self, Hits};
use crate::memory::MemoryTable;
use crate::plan::KIB;
use crate::samples::Samples;
use crate::server::{Mirror, NGINX};

const BEGIN_MARK: &str = "<!-- figures: written by `make bench-docs` -->";
const END_MARK: &str = "<!-- end of the figures -->";

pub(crate) struct Report {
    pub(crate) is_quick: bool,
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) bars: Vec<Bar>,
    pub(crate) idle: Samples,
    pub(crate) cold: Vec<Cold>,
    pub(crate) crowd: Crowd,
    pub(crate) hits: Vec<Hits>,
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
        self.bars.iter().all(|bar| bar.holds().unwrap_or(true))
    }

    pub(crate) fn text(&self) -> String {
        let quick = if self.is_quick {
            "**A quick trial: these figures mean little.**\n\n"
        } else {
            ""
        };
        let sections = [
            ("Machine", self.machine_table()),
            ("Bars", self.bar_table()),
            ("Cold pull: seconds", self.cold_table()),
            ("Cold pull: first byte", self.first_byte_table()),
            ("A crowd on one cold blob", self.crowd_table()),
            ("Hits", self.hit_table()),
            ("Memory", self.memory_table()),
        ];
        let sections = sections.map(|(title, table)| format!("### {title}\n\n{table}"));
        format!("{quick}{}", sections.join("\n"))
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
        let rows = self.cold.iter().map(|cold| {
            let direct = figure(cold.seconds.median(DIRECT), " s");
            let ratio = |mirror| figure(cold.seconds.ratio(mirror, DIRECT), "×");
            row(cold.setting.name, direct, ratio)
        });
        table(&mirror_header("remote", "direct"), rows)
    }

    fn first_byte_table(&self) -> String {
        let rows = self.cold.iter().map(|cold| {
            let direct = figure(cold.first_byte_ms.median(DIRECT), " ms");
            let later = |mirror| signed(cold.first_byte_ms.difference(mirror, DIRECT), " ms");
            row(cold.setting.name, direct, later)
        });
        table(&mirror_header("remote", "direct"), rows)
    }

    fn crowd_table(&self) -> String {
        let Crowd { seconds, downloads } = &self.crowd;
        let slowest = row(
            "slowest client ÷ one direct pull",
            figure(seconds.median(DIRECT), " s"),
            |mirror| figure(seconds.ratio(mirror, DIRECT), "×"),
        );
        let downloads = row(
            "bytes from the remote ÷ bytes of the blob",
            figure(downloads.median(DIRECT), "×"),
            |mirror| figure(downloads.median(mirror), "×"),
        );
        table(
            &mirror_header("what", "direct, one client"),
            [slowest, downloads],
        )
    }

    fn hit_table(&self) -> String {
        let rows = self.hits.iter().map(|hits| {
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

    fn memory_table(&self) -> String {
        let names = [NGINX].into_iter().chain(Mirror::ALL.map(Mirror::name));
        let rows = names.map(|name| {
            let mut row = vec![name.to_owned(), figure(self.idle.median(name), " MiB")];
            let phases = [cold::PHASE, crowd::PHASE, hits::PHASE];
            row.extend(phases.map(|phase| figure(self.memory.peak_mib(name, phase), " MiB")));
            row
        });
        table(
            &[
                "server",
                "idle",
                "peak, cold pulls",
                "peak, crowd",
                "peak, hits",
            ],
            rows,
        )
    }
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

fn figure(value: Option<f64>, unit: &str) -> String {
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
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
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
