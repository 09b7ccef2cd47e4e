//! Several Entrepots that replicate to each other: the newest write of each tag counts, everywhere, and then there is quiet.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use http::Method;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Sites, eventually, hosted, image};
use crate::{
    api::PASSWORD,
    manage::call,
    push::{Pushed, Pusher},
    server::{Setup, TestServer},
};

const STATE: &str = "entrepot-tag-state";
const TAGS: [&str; 3] = ["a", "b", "c"];
/// For all sites to agree, also on a machine that does other things.
const AGREED_WITHIN: Duration = Duration::from_secs(60);
/// If nothing has begun for so long, nothing will.
const QUIET_FOR: Duration = Duration::from_secs(2);
const STEPS: usize = 6;

/// Sites that each send what they have to some of the others.
struct Network {
    sites: Vec<TestServer>,
    /// The newest write of each tag that was seen: as text they sort as they were made.
    newest: Mutex<BTreeMap<String, String>>,
}

/// All that can be known of a site: each tag, and how much was done.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    tags: Vec<Option<String>>,
    tasks: u64,
    is_busy: bool,
}

impl Network {
    /// Each site sends to those at these distances from it.
    async fn start(sites: usize, distances: &[usize]) -> Self {
        let mut all = Vec::new();
        for _ in 0..sites {
            let site = Setup::empty()
                .section(&format!(
                    "[access]\nadmin_password = \"{PASSWORD}\"\n[replication]\nevent_delay = \"50ms\""
                ))
                .section(&hosted("team"));
            all.push(site.start().await);
        }
        for (place, site) in all.iter().enumerate() {
            let others: Vec<_> = distances.iter().map(|far| (place + far) % sites).collect();
            for other in &others {
                let remote = json!({
                    "name": format!("site-{other}"), "provider": "entrepot",
                    "urls": [all[*other].url()], "username": "admin", "password": PASSWORD,
                });
                let made = call(site, Method::POST, "/remotes", Some(remote)).await;
                assert_eq!(made.status, 201, "{}", made.body);
            }
            let remotes: Vec<_> = others.iter().map(|other| format!("site-{other}")).collect();
            let rule = json!({
                "name": "to-others", "remotes": remotes, "source": {"project": "team"},
                "propagate_delete": true, "delete_grace": "0s",
            });
            let made = call(site, Method::POST, "/rules", Some(rule)).await;
            assert_eq!(made.status, 201, "{}", made.body);
        }
        Self {
            sites: all,
            newest: Mutex::default(),
        }
    }

    /// Something at one site: a push, or a delete.
    async fn step(&self, site: usize, tag: &str, content: Option<u64>) {
        let site = &self.sites[site];
        let pusher = Pusher::of(site);
        if let Some(content) = content {
            pusher.image("team/app", tag, &image(content)).await;
        } else {
            let path = format!("/v2/team/app/manifests/{tag}");
            let deleted = Pusher::send(pusher.request(Method::DELETE, &path)).await;
            assert!([202, 404].contains(&deleted.status), "{}", deleted.status);
        }
        // This write, or a newer one that has just come.
        let (_, said) = state(site, "team/app", tag).await;
        let mut newest = self.newest.lock().expect("no test panics with it");
        let known = newest.entry(tag.to_owned()).or_default();
        *known = said.unwrap_or_default().max(std::mem::take(known));
    }

    /// It is the newest write of each tag that all sites agree on, not just any.
    fn assert_newest(&self, agreed: &[Option<String>]) {
        let newest = self.newest.lock().expect("no test panics with it");
        for (tag, agreed) in TAGS.iter().zip(agreed) {
            let newest = newest.get(*tag).map_or("", String::as_str);
            let is_newest = match agreed {
                Some(agreed) => agreed.as_str() >= newest,
                None => newest.is_empty() || newest.ends_with(" deleted"),
            };
            assert!(is_newest, "`{tag}` is {agreed:?} and not {newest}");
        }
    }

    async fn look(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for site in &self.sites {
            let mut tags = Vec::new();
            for tag in TAGS {
                tags.push(state(site, "team/app", tag).await.0);
            }
            let tasks = count(site, "/rules/to-others/tasks").await;
            let mut open = 0;
            for status in ["Planning", "Planned", "InProgress"] {
                open += count(site, &format!("/executions?status={status}")).await;
            }
            seen.push(Seen {
                tags,
                tasks,
                is_busy: open > 0,
            });
        }
        seen
    }

    /// Waits until all sites are the same and nothing is done any more.
    async fn agreed(&self) -> Vec<Option<String>> {
        let deadline = Instant::now() + AGREED_WITHIN;
        loop {
            let seen = self.look().await;
            let are_same = seen.iter().all(|site| site.tags == seen[0].tags);
            if are_same && seen.iter().all(|site| !site.is_busy) {
                sleep(QUIET_FOR).await;
                if self.look().await == seen {
                    let agreed = seen.into_iter().next().expect("a site").tags;
                    self.assert_newest(&agreed);
                    return agreed;
                }
            }
            assert!(Instant::now() < deadline, "they do not agree: {seen:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Random steps at all sites at once, a few times; at last each site has something of its own under every tag.
    async fn live(&self, random: &mut StdRng) {
        for _ in 0..STEPS {
            let steps: Vec<_> = (0..self.sites.len())
                .map(|site| {
                    let tag = TAGS[random.random_range(0..TAGS.len())];
                    let content = random.random_bool(0.7).then(|| random.random_range(1..5));
                    self.step(site, tag, content)
                })
                .collect();
            futures_util::future::join_all(steps).await;
            if random.random_bool(0.3) {
                sleep(Duration::from_millis(random.random_range(0..400))).await;
            }
        }
        for tag in TAGS {
            let own = (1..).take(self.sites.len()).enumerate();
            let steps = own.map(|(site, content)| self.step(site, tag, Some(content)));
            futures_util::future::join_all(steps).await;
        }
    }
}

/// How many items a list has.
async fn count(site: &TestServer, path: &str) -> u64 {
    let listed = call(site, Method::GET, path, None).await;
    assert_eq!(listed.status, 200, "{}", listed.body);
    match &listed.body["total"] {
        Value::Number(total) => total.as_u64().expect("a count"),
        _ => listed.body["items"].as_array().expect("a list").len() as u64,
    }
}

/// What a tag is, unless it is not there; and what is said of its write.
async fn state(site: &TestServer, repository: &str, tag: &str) -> (Option<String>, Option<String>) {
    let path = format!("/v2/{repository}/manifests/{tag}");
    let asked = Pusher::of(site).request(Method::HEAD, &path);
    let answer = Pusher::send(asked.header(STATE, "?")).await;
    let said = answer.headers.get(STATE);
    let said = said.map(|value| value.to_str().expect("text").to_owned());
    match answer.status {
        200 => (said.clone(), said),
        404 => (None, said),
        other => panic!("answers {other}"),
    }
}

async fn converge(sites: usize, distances: &[usize]) {
    let cases = setting("ENTREPOT_SITES_CASES").unwrap_or(1);
    let seed = setting("ENTREPOT_SITES_SEED").unwrap_or_else(rand::random);
    // Shown when the test fails, or with --nocapture.
    eprintln!("ENTREPOT_SITES_SEED={seed}");
    let network = Network::start(sites, distances).await;
    for case in 0..cases {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(case));
        network.live(&mut random).await;
        network.agreed().await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the test, not of the server"
)]
pub(super) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sites_that_send_to_each_other_agree_whatever_is_pushed_and_deleted_at_once() {
    converge(2, &[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_sites_in_a_ring_agree_whatever_is_pushed_and_deleted_at_once() {
    converge(3, &[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_goes_around_and_a_delete_after_it_and_then_nothing_more_happens() {
    let network = Network::start(2, &[1]).await;
    network.step(0, "a", Some(1)).await;
    network.step(1, "b", Some(2)).await;
    let both = network.agreed().await;
    let is_image = |seen: &Option<String>, number| {
        let root = image(number).root;
        seen.as_ref().is_some_and(|seen| seen.ends_with(&root))
    };
    assert!(is_image(&both[0], 1) && is_image(&both[1], 2), "{both:?}");
    // Either site deletes what came from the other.
    network.step(0, "b", None).await;
    network.step(1, "a", None).await;
    assert_eq!(network.agreed().await, [None, None, None]);
    network.step(1, "a", Some(3)).await;
    let again = network.agreed().await;
    assert!(is_image(&again[0], 3), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_newer_there_stays_and_is_told() {
    let sites = Sites::start().await;
    let (ours, theirs) = (image(1), image(2));
    sites.push("team/app", "1", &ours).await;
    let edge = Pusher::of(&sites.edge);
    edge.image("team/app", "1", &theirs).await;
    let made = sites.rule(json!({"override": true})).await;
    let id = made["execution"].as_str().expect("an id").to_owned();
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    assert_eq!(
        sites.at_edge("team/app", "1").await,
        Some(theirs.root.clone())
    );
    let tasks = sites.get(&format!("/executions/{id}/tasks")).await;
    let error = tasks["items"][0]["error"].as_str().expect("a note");
    assert!(error.contains("newer there"), "{error}");
    let synced = sites.get("/rules/to-edge/sync").await;
    assert_eq!(synced["items"][0]["in_sync"], true, "{synced}");
    // The next push here is newer than both.
    sites.push("team/app", "1", &ours).await;
    sites.arrived("team/app", "1", Some(&ours)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_there_stays_so_only_for_a_rule_that_replicates_deletes() {
    let sites = Sites::start().await;
    for tag in ["1", "2"] {
        sites.push("team/app", tag, &image(1)).await;
    }
    let made = sites.rule(json!({"propagate_delete": true})).await;
    sites.done(made["execution"].as_str().expect("an id")).await;
    let edge = Pusher::of(&sites.edge);
    let delete = edge.request(Method::DELETE, "/v2/team/app/manifests/1");
    assert_eq!(Pusher::send(delete).await.status, 202);
    let again = sites.done(&sites.run("to-edge", json!({})).await).await;
    assert_eq!(again["status"], "Succeeded", "{again}");
    assert_eq!(sites.at_edge("team/app", "1").await, None);

    let mut rule = made;
    rule["propagate_delete"] = json!(false);
    let changed = sites.call(Method::PUT, "/rules/to-edge", Some(rule));
    let changed = changed.await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    sites.run("to-edge", json!({})).await;
    sites.arrived("team/app", "1", Some(&image(1))).await;
    eventually(async || {
        let here = state(&sites.hub, "team/app", "1").await;
        (here == state(&sites.edge, "team/app", "1").await).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_from_the_time_to_come_is_refused_and_an_old_one_changes_nothing() {
    let sites = Sites::start().await;
    let image = image(1);
    sites.push("team/app", "1", &image).await;
    let (_, said) = state(&sites.hub, "team/app", "1").await;
    let said = said.expect("it is told");
    let put = async |state: &str| -> Pushed {
        let hub = Pusher::of(&sites.hub);
        let manifest = hub.get("/v2/team/app/manifests/1").await;
        let media_type = manifest.header("content-type").to_owned();
        let request = hub.request(Method::PUT, "/v2/team/app/manifests/1");
        let request = request
            .header("content-type", media_type)
            .header(STATE, state);
        Pusher::send(request.body(manifest.body)).await
    };
    let digest = image.root.as_str();
    let ahead = put(&format!("0fffffffffff-0000-0000000000000001 {digest}")).await;
    assert_eq!(ahead.status, 400);
    assert_eq!(ahead.error_code(), "MANIFEST_INVALID");
    let text = String::from_utf8_lossy(&ahead.body).into_owned();
    assert!(text.contains("ahead of this server's clock"), "{text}");
    let old = put(&format!("000000000001-0000-0000000000000001 {digest}")).await;
    assert_eq!((old.status, old.header(STATE)), (200, said.as_str()));
    let same = put(&said).await;
    assert_eq!((same.status, same.header(STATE)), (201, said.as_str()));
    assert_eq!(put("nonsense").await.status, 400);
    assert_eq!(state(&sites.hub, "team/app", "1").await.1, Some(said));
    // Who does not ask is not told.
    let plain = Pusher::of(&sites.hub)
        .head("/v2/team/app/manifests/1")
        .await;
    assert!(plain.headers.get(STATE).is_none());
}
