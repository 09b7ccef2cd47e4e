//! A page of a hosted repository's tags: whether it matters how many there are, and where in the list it begins.
//!
//! The tags are written by SQL into a database that the server itself has made.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rand::RngExt as _;
use serde::Deserialize;

use crate::http::Connection;
use crate::report::{figure, table};
use crate::samples::{Samples, median, shuffled};
use crate::server::{Mirror, start_entrepot_hosting};
use crate::store_rows::add_tags;
use crate::{Bench, progress};

const PAGE: usize = 100;
const FEW: usize = PAGE;
const WARM_UP: usize = 200;

/// What is asked for.
#[derive(Clone, Copy)]
struct Place {
    name: &'static str,
    repository: &'static str,
    start: Start,
}

#[derive(Clone, Copy)]
enum Start {
    First,
    Middle,
    Last,
    Anywhere,
}

pub(crate) const ALL_OF_FEW: &str = "all tags of a repository with 100";
const FEW_REPOSITORY: &str = "bench/few";
const MANY_REPOSITORY: &str = "bench/many";

pub(crate) const PLACES: [&str; 4] = ["the first", "from the middle", "the last", "anywhere"];

#[derive(Default)]
pub(crate) struct Tags {
    pub(crate) count: usize,
    /// Of a page; medians of each round.
    pub(crate) microseconds: Samples,
}

#[derive(Deserialize)]
struct Page {
    tags: Vec<String>,
}

pub(crate) fn measure(bench: &Bench) -> Result<Tags> {
    let count = bench.plan.tags;
    let mut tags = Tags {
        count,
        ..Tags::default()
    };
    if !bench.mirrors.contains(&Mirror::Entrepot) {
        return Ok(tags);
    }
    progress(&format!("{count} tags"));
    let folder = Mirror::Entrepot.start_hosting(bench)?.stop();
    let data = folder.path().join("data");
    add_tags(&data, FEW_REPOSITORY, FEW)?;
    add_tags(&data, MANY_REPOSITORY, count)?;
    let server = start_entrepot_hosting(folder, bench)?;

    tags.round(server.address, WARM_UP)?;
    tags.microseconds = Samples::default();
    for _ in 0..bench.plan.tags_rounds {
        tags.round(server.address, bench.plan.tags_pages)?;
    }
    Ok(tags)
}

impl Tags {
    /// Asks for so many pages at each place, in turns.
    fn round(&mut self, address: SocketAddr, pages: usize) -> Result<()> {
        let starts = [Start::First, Start::Middle, Start::Last, Start::Anywhere];
        let of_many = PLACES.into_iter().zip(starts).map(|(name, start)| Place {
            name,
            repository: MANY_REPOSITORY,
            start,
        });
        let of_few = Place {
            name: ALL_OF_FEW,
            repository: FEW_REPOSITORY,
            start: Start::First,
        };
        let mut places: Vec<_> = of_many
            .chain([of_few])
            .map(|place| (place, Vec::new()))
            .collect();
        let mut connection = Connection::open(address)?;
        for _ in 0..pages {
            for (place, times) in shuffled(&mut places) {
                times.push(self.ask(&mut connection, *place)?);
            }
        }
        for (place, times) in places {
            let time = median(times).context("no pages were asked for")?;
            self.microseconds.add(place.name, time);
        }
        Ok(())
    }

    /// Microseconds for one page, which must be the right one.
    fn ask(&self, connection: &mut Connection, place: Place) -> Result<f64> {
        let last = self.count - PAGE;
        let first = match place.start {
            Start::First => 0,
            Start::Middle => self.count / 2,
            Start::Last => last,
            Start::Anywhere => rand::rng().random_range(0..=last),
        };
        let mut path = format!("/v2/{}/tags/list?n={PAGE}", place.repository);
        if let Some(before) = first.checked_sub(1) {
            write!(path, "&last={}", tag(before)).expect("writing to a string");
        }
        let begin = Instant::now();
        let mut answer = connection.get(&path)?;
        let status = answer.status();
        let body = answer.body()?;
        let time = begin.elapsed().as_secs_f64() * 1e6;

        ensure!(status == 200, "{path}: status {status}");
        let Page { tags } = serde_json::from_slice(&body).context("read a page of tags")?;
        let ends = (tags.first(), tags.last());
        let expected = (&tag(first), &tag(first + PAGE - 1));
        ensure!(
            tags.len() == PAGE && ends == (Some(expected.0), Some(expected.1)),
            "{path}: {ends:?}"
        );
        Ok(time)
    }

    pub(crate) fn report(&self) -> String {
        let many = PLACES.map(|place| (place, format!("{PAGE} of {}, {place}", self.count)));
        let few = [(ALL_OF_FEW, ALL_OF_FEW.to_owned())];
        let rows = few.into_iter().chain(many).map(|(name, what)| {
            let microseconds = &self.microseconds;
            let time = figure(microseconds.median(name), " µs");
            vec![
                what,
                time,
                figure(microseconds.ratio(name, ALL_OF_FEW), "×"),
            ]
        });
        table(&["page", "entrepot", "÷ that with 100 tags"], rows)
    }
}

/// As [`add_tags`] names them.
fn tag(number: usize) -> String {
    format!("v{number:07}")
}
