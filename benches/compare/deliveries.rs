//! What is pushed to Entrepot, and when it is at the registry that a rule sends it to; and what planning costs.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::content::{Content, MANIFEST_TYPE, manifest, random_bytes};
use crate::http::Connection;
use crate::manage::Manage;
use crate::plan::MIB;
use crate::pusher::{Pusher, Way};
use crate::report::{figure, table};
use crate::samples::Samples;
use crate::server::{Mirror, Server, start_entrepot_hosting};
use crate::store_rows::StoreRows;
use crate::{Bench, progress};

/// The only contestant.
pub(crate) const ENTREPOT: &str = "entrepot";
const RULE: &str = "rule";
const LAYER_BYTES: usize = 10 * MIB;
/// As many images as are planned for.
const ROWS_OF_IMAGE: usize = 10;
const REPOSITORIES: usize = 100;
/// Over so long the tags of the storm are pushed.
const STORM: Duration = Duration::from_mins(1);
const PUSHERS: usize = 8;
const SETTLE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);
const ARRIVAL_TIMEOUT: Duration = Duration::from_mins(10);

#[derive(Default)]
pub(crate) struct Deliveries {
    pushes: usize,
    /// From the 201 of an image of 10 MiB to its tag at an idle destination.
    pub(crate) p99_seconds: Samples,
    median_seconds: Samples,
    tags: usize,
    /// From the last push of the storm to the last tag.
    pub(crate) storm_seconds: Samples,
    planned: usize,
    /// Until everything is selected and named, and no collision found.
    pub(crate) plan_seconds: Samples,
    /// Of a processor, to ask a destination for one tag.
    pub(crate) ask_ms: Samples,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

/// An Entrepot, and where its rule sends things to.
struct Pair {
    hub: Server,
    site: Server,
}

pub(crate) fn measure(bench: &Bench) -> Result<Deliveries> {
    let mut deliveries = Deliveries {
        pushes: bench.plan.delivery_pushes,
        tags: bench.plan.delivery_tags,
        planned: bench.plan.rows / ROWS_OF_IMAGE,
        ..Deliveries::default()
    };
    progress("deliveries: pushes one by one");
    deliveries.one_by_one(bench)?;
    progress("deliveries: a storm of tags");
    deliveries.storm(bench)?;
    progress("deliveries: planning");
    deliveries.plan(bench)?;
    Ok(deliveries)
}

impl Pair {
    fn start(bench: &Bench, trigger: &str) -> Result<Self> {
        let hub = Mirror::Entrepot.start_hosting(bench)?;
        Self::of(bench, hub, trigger)
    }

    fn of(bench: &Bench, hub: Server, trigger: &str) -> Result<Self> {
        let site = Mirror::Distribution.start_hosting(bench)?;
        let manage = Manage(hub.address);
        manage.add_remote("site", site.address)?;
        manage.add_rule(RULE, &["site".to_owned()], trigger)?;
        thread::sleep(SETTLE);
        Ok(Self { hub, site })
    }
}

impl Deliveries {
    fn one_by_one(&mut self, bench: &Bench) -> Result<()> {
        let pair = Pair::start(bench, "event")?;
        let pusher = Pusher::admin(pair.hub.address);
        let mut waits = Vec::new();
        for number in 0..self.pushes {
            let (config, layer) = (number.to_string().into_bytes(), random_bytes(LAYER_BYTES));
            let blobs = [Content::blob(&config), Content::blob(&layer)];
            pusher.push_blob(&blobs[0], &config, Way::Put)?;
            pusher.push_blob(&blobs[1], &layer, Way::Put)?;
            let tag = format!("v{number}");
            let body = manifest(&blobs);
            pusher.push_manifest(&body, &tag)?;
            let begin = Instant::now();
            let tag = Content::manifest(&body, &tag);
            eventually(|| is_there(pair.site.address, &tag.path))?;
            waits.push(begin.elapsed().as_secs_f64());
        }
        waits.sort_by(f64::total_cmp);
        let last = waits.len() - 1;
        self.median_seconds.add(ENTREPOT, waits[last / 2]);
        self.p99_seconds.add(ENTREPOT, waits[last * 99 / 100]);
        Ok(())
    }

    fn storm(&mut self, bench: &Bench) -> Result<()> {
        let pair = Pair::start(bench, "event")?;
        let parts = [b"{}".to_vec(), random_bytes(64)];
        let blobs = parts.each_ref().map(|body| Content::blob(body));
        let pusher = Pusher::admin(pair.hub.address);
        for number in 0..REPOSITORIES {
            let pusher = pusher.of(&repository(number));
            for (blob, body) in blobs.iter().zip(&parts) {
                pusher.push_blob(blob, body, Way::Put)?;
            }
        }
        let body = String::from_utf8(manifest(&blobs)).context("a manifest is text")?;
        let (begin, tags) = (Instant::now(), self.tags);
        let push = |worker: usize| -> Result<()> {
            for number in (worker..tags).step_by(PUSHERS) {
                let due = STORM.mul_f64(number as f64 / tags as f64);
                thread::sleep(due.saturating_sub(begin.elapsed()));
                let pusher = pusher.of(&repository(number % REPOSITORIES));
                let body = body.replacen("xxxxxxxx", &format!("{number:08}"), 1);
                pusher.push_manifest(body.as_bytes(), &format!("v{}", number / REPOSITORIES))?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..PUSHERS)
                .map(|worker| scope.spawn(move || push(worker)))
                .collect();
            let mut workers = workers.into_iter();
            workers.try_for_each(|worker| worker.join().expect("a pusher does not panic"))
        })?;
        let begin = Instant::now();
        let wanted = tags / REPOSITORIES;
        for number in 0..REPOSITORIES {
            eventually(|| Ok(count_tags(pair.site.address, &repository(number))? >= wanted))?;
        }
        self.storm_seconds
            .add(ENTREPOT, begin.elapsed().as_secs_f64());
        Ok(())
    }

    fn plan(&mut self, bench: &Bench) -> Result<()> {
        let folder = Mirror::Entrepot.start_hosting(bench)?.stop();
        let store = StoreRows {
            folder: folder.path().join("data"),
            project: "bench",
            rows: bench.plan.rows,
            evicted: ROWS_OF_IMAGE,
        };
        store.make()?;
        let pair = Pair::of(bench, start_entrepot_hosting(folder, bench)?, "manual")?;
        let manage = Manage(pair.hub.address);
        let before = pair.hub.daemon.processor_seconds()?;
        let plan = manage.execute(RULE, true)?;
        let spent = pair.hub.daemon.processor_seconds()? - before;
        let items = &plan["tasks"]["total"];
        ensure!(items.as_u64() > Some(0), "an empty plan: {plan}");
        self.ask_ms
            .add(ENTREPOT, spent * 1000.0 / self.planned as f64);

        let begin = Instant::now();
        manage.begin(RULE, false, |execution| {
            execution["tasks"]["total"].as_u64() > Some(0)
        })?;
        self.plan_seconds
            .add(ENTREPOT, begin.elapsed().as_secs_f64());
        Ok(())
    }

    pub(crate) fn report(&self) -> String {
        let line = |what: String, samples: &Samples, unit| {
            vec![what, figure(samples.median(ENTREPOT), unit)]
        };
        let pushed = format!(
            "an image of 10 MiB at an idle destination, {} pushes",
            self.pushes
        );
        let storm = format!("{} tags pushed within a minute: all there after", self.tags);
        let plan = format!("{} tags selected, named and compared", self.planned);
        let rows = [
            line(format!("{pushed}: median"), &self.median_seconds, " s"),
            line(format!("{pushed}: p99"), &self.p99_seconds, " s"),
            line(storm, &self.storm_seconds, " s"),
            line(plan, &self.plan_seconds, " s"),
            line(
                "processor time to ask for one of them".to_owned(),
                &self.ask_ms,
                " ms",
            ),
        ];
        table(&["what", "entrepot"], rows)
    }
}

fn repository(number: usize) -> String {
    format!("bench/storm-{number:02}")
}

fn is_there(address: SocketAddr, path: &str) -> Result<bool> {
    let mut connection = Connection::open(address)?;
    let accept = format!("Accept: {MANIFEST_TYPE}\r\n");
    let mut answer = connection.send("GET", path, &accept, b"")?;
    answer.body()?;
    Ok(answer.status() == 200)
}

fn count_tags(address: SocketAddr, repository: &str) -> Result<usize> {
    let mut connection = Connection::open(address)?;
    let mut answer = connection.get(&format!("/v2/{repository}/tags/list?n=1000"))?;
    let body = answer.body()?;
    if answer.status() != 200 {
        return Ok(0);
    }
    let list: Tags = serde_json::from_slice(&body).context("read a list of tags")?;
    Ok(list.tags.unwrap_or_default().len())
}

fn eventually(mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + ARRIVAL_TIMEOUT;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "it does not arrive");
        thread::sleep(POLL);
    }
    Ok(())
}
