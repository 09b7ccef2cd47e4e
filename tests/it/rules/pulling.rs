//! Rules that pull: from registries of other makers into hosted projects, and into a mirror ahead of its use.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::{Sites, eventually, image};
use crate::{
    copy_command::assert_has,
    harness::{FakeRegistry, Fault, ImageBuilder, Kind, Line, On, Trouble, get},
    manage::call_as,
    push::Pusher,
    real_registry::{Program, RealRegistry},
};

fn keys(url: &str) -> String {
    format!("[[remote]]\nname = \"real\"\nurls = [\"{url}\"]\n")
}

/// A rule that pulls what is under `upstream` into `team`.
fn pull(more: Value) -> Value {
    let mut rule = json!({
        "mode": "pull", "remotes": ["real"], "source": {"project": "upstream"},
        "destination": {"project": "team", "flatten": 1},
    });
    let (Value::Object(members), Value::Object(more)) = (&mut rule, more) else {
        panic!("no object");
    };
    members.extend(more);
    rule
}

impl Sites {
    /// Runs the rule to its end.
    async fn pulled(&self) -> Value {
        let id = self.run("to-edge", json!({})).await;
        let done = self.done(&id).await;
        assert_eq!(done["status"], "Succeeded", "{done}");
        done
    }

    async fn here(&self, repository: &str, tag: &str) -> Option<String> {
        let answer = get(&self.hub.manifest_url(repository, tag)).await;
        (answer.status == 200).then(|| answer.header("docker-content-digest").to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_registry_is_pulled_from_and_only_what_changed() {
    for program in [Program::Distribution, Program::DockerRegistry] {
        let registry = RealRegistry::start(program).await;
        let sites = Sites::with(&keys(&registry.url())).await;
        let upstream = Pusher::at(&registry.url());
        let (one, two) = (image(1), image(2));
        let many = ImageBuilder::new(3)
            .layer(5_000)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build();
        upstream.image("upstream/app", "1", &one).await;
        upstream.image("upstream/deep/db", "many", &many).await;
        upstream.image("other/app", "1", &one).await;
        let made = sites.rule(pull(json!({"propagate_delete": true}))).await;
        assert_eq!(made["trigger"]["type"], "manual");
        let first = sites.pulled().await;
        assert_eq!(first["repositories"], 2, "{first}");
        assert_has(sites.hub.url(), "team/app", "1", &one).await;
        assert_has(sites.hub.url(), "team/deep/db", "many", &many).await;

        let again = sites.pulled().await;
        assert_eq!(again["tasks"]["total"], 0, "{again}");
        assert!(again["message"].as_str().unwrap().contains("2 tags"));
        let compared = sites.get("/rules/to-edge/sync").await;
        assert_eq!(compared["items"][0]["in_sync"], true, "{compared}");

        upstream.image("upstream/app", "1", &two).await;
        upstream.image("upstream/app", "2", &one).await;
        let compared = &sites.get("/rules/to-edge/sync").await["items"][0];
        assert_eq!(
            (&compared["missing"], &compared["differing"]),
            (&json!(1), &json!(1)),
            "{compared}"
        );
        sites.pulled().await;
        assert_has(sites.hub.url(), "team/app", "1", &two).await;
        assert_has(sites.hub.url(), "team/app", "2", &one).await;

        // What is deleted there goes here, and nothing else.
        sites.push("team/app", "ours", &one).await;
        let path = format!("/v2/upstream/app/manifests/{}", two.root);
        let deleted = Pusher::send(upstream.request(Method::DELETE, &path)).await;
        assert_eq!(deleted.status, 202);
        sites.pulled().await;
        assert_eq!(sites.here("team/app", "1").await, None);
        assert_eq!(sites.here("team/app", "2").await, Some(one.root.clone()));
        assert_eq!(sites.here("team/app", "ours").await, Some(one.root.clone()));
        assert_eq!(
            sites.here("team/deep/db", "many").await,
            Some(many.root.clone())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_by_others_stays_unless_the_rule_may_replace_it() {
    let registry = RealRegistry::start(Program::Distribution).await;
    let sites = Sites::with(&keys(&registry.url())).await;
    let (ours, theirs) = (image(1), image(2));
    Pusher::at(&registry.url())
        .image("upstream/app", "1", &theirs)
        .await;
    sites.push("team/app", "1", &ours).await;
    let mut rule = sites.rule(pull(json!({}))).await;
    sites.pulled().await;
    assert_eq!(sites.here("team/app", "1").await, Some(ours.root.clone()));
    rule["override"] = json!(true);
    let put = sites.call(Method::PUT, "/rules/to-edge", Some(rule)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    sites.pulled().await;
    assert_eq!(sites.here("team/app", "1").await, Some(theirs.root.clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_not_there_is_made() {
    let registry = RealRegistry::start(Program::Distribution).await;
    let sites = Sites::with(&keys(&registry.url())).await;
    Pusher::at(&registry.url())
        .image("upstream/app", "1", &image(1))
        .await;
    let destination = json!({"project": "fresh", "flatten": 1});
    sites.rule(pull(json!({"destination": destination}))).await;
    sites.pulled().await;
    let project = sites.get("/projects/fresh").await;
    assert_eq!(project["kind"], "hosted", "{project}");
    let tags = Pusher::of(&sites.hub).get("/v2/fresh/app/tags/list").await;
    assert!(String::from_utf8_lossy(&tags.body).contains("\"1\""));
}

/// The user `tina`, with the right `admin` on these projects alone.
async fn tina(sites: &Sites, method: Method, projects: &[&str]) {
    let rights = projects
        .iter()
        .map(|project| json!({"project": project, "rights": ["admin"]}));
    let user =
        json!({"name": "tina", "password": "tinas password", "rights": rights.collect::<Vec<_>>()});
    let path = if method == Method::POST {
        "/users"
    } else {
        "/users/tina"
    };
    let made = sites.call(method, path, Some(user)).await;
    assert!((200..=201).contains(&made.status), "{}", made.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_project_is_made_for_an_owner_who_may_no_longer() {
    let remote = FakeRegistry::start().await;
    remote.put_image("upstream/app", "1", &image(1));
    let sites = Sites::start().await;
    let opened = json!({"name": "real", "urls": [remote.url()], "projects": ["fresh"]});
    assert_eq!(sites.post("/remotes", opened).await.status, 201);
    tina(&sites, Method::POST, &["fresh"]).await;
    let hers = super::rule(pull(json!({
        "source": {"project": "upstream", "filters": [{"type": "name", "value": "app"}]},
        "destination": {"project": "fresh", "flatten": 1},
    })));
    let login = ("tina", "tinas password");
    let made = call_as(&sites.hub, login, Method::POST, "/rules", Some(hers)).await;
    assert_eq!((made.status, &made.body["owner"]), (201, &json!("tina")));

    tina(&sites, Method::PUT, &["team"]).await;
    let id = sites.run("to-edge", json!({})).await;
    assert_eq!(sites.done(&id).await["status"], "Failed");
    let tasks = sites.get(&format!("/executions/{id}/tasks")).await;
    assert_eq!(tasks["items"][0]["attempts"], 1, "{tasks}");
    let why = "may not create project `fresh`: needs the right `admin` on it, which the rule's owner `tina` does not have";
    assert_eq!(tasks["items"][0]["error"], why);
    let project = sites.call(Method::GET, "/projects/fresh", None).await;
    assert_eq!(project.status, 404);

    // Nor for one who is gone.
    let gone = sites.call(Method::DELETE, "/users/tina", None).await;
    assert_eq!(gone.status, 204);
    let retry = format!("/executions/{id}/retry");
    assert_eq!(sites.post(&retry, json!({})).await.status, 200);
    assert_eq!(sites.done(&id).await["status"], "Failed");
    let tasks = sites.get(&format!("/executions/{id}/tasks")).await;
    let error = tasks["items"][0]["error"].as_str().expect("a text");
    assert!(error.contains("`tina` is no user here"), "{error}");

    tina(&sites, Method::POST, &["fresh"]).await;
    assert_eq!(sites.post(&retry, json!({})).await.status, 200);
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    assert_eq!(sites.get("/projects/fresh").await["kind"], "hosted");
    // What is there already is pulled into, whoever made the rule.
    tina(&sites, Method::PUT, &["team"]).await;
    remote.put_image("upstream/app", "1", &image(2));
    sites.pulled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_lists_nothing_is_asked_for_what_the_rule_names() {
    let remote = FakeRegistry::start().await;
    let one = image(1);
    remote.put_image("upstream/app", "1", &one);
    remote.put_image("upstream/app", "2", &image(2));
    remote.fault_always(On::kind(Kind::Catalog), Fault::Status(404, None));
    let sites = Sites::with(&keys(remote.url())).await;
    let mut rule = sites.rule(pull(json!({}))).await;
    let id = sites.run("to-edge", json!({})).await;
    let failed = sites.done(&id).await;
    assert_eq!(failed["status"], "Failed", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("`name`"));
    rule["source"]["filters"] =
        json!([{"type": "name", "value": "{app,none}"}, {"type": "tag", "value": "1"}]);
    let put = sites.call(Method::PUT, "/rules/to-edge", Some(rule)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    sites.pulled().await;
    assert_has(sites.hub.url(), "team/app", "1", &one).await;
    assert_eq!(sites.here("team/app", "2").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_warmed_ahead_of_its_use() {
    let remote = FakeRegistry::start().await;
    let image = ImageBuilder::new(1)
        .layer(20_000)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    remote.put_image("upstream/app", "1", &image);
    let far = format!(
        "{}[[project]]\nname = \"far\"\nkind = \"mirror\"\nremote = \"real\"\n",
        keys(remote.url())
    );
    let sites = Sites::with(&far).await;
    let filters = json!([{"type": "name", "value": "app"}]);
    let warm = pull(json!({
        "source": {"project": "upstream", "filters": filters}, "destination": {"project": "far"},
    }));
    sites.rule(warm.clone()).await;
    let first = sites.pulled().await;
    assert!(first["bytes_sent"].as_u64() > Some(40_000), "{first}");
    assert_eq!(first["bytes_sent"], first["bytes_total"]);
    let again = sites.pulled().await;
    assert_eq!(again["tasks"]["total"], 0, "{again}");
    remote.forget_requests();
    assert_has(sites.hub.url(), "far/upstream/app", "1", &image).await;
    assert_eq!(remote.count(On::blob()), 0);
    // It moves on with its remote.
    let newer = ImageBuilder::new(2).layer(20_000).build();
    remote.put_image("upstream/app", "1", &newer);
    sites.pulled().await;
    remote.forget_requests();
    assert_has(sites.hub.url(), "far/upstream/app", "1", &newer).await;
    assert_eq!(remote.count(On::blob()), 0);

    // Of another remote nothing is pulled into it.
    let mut other = warm;
    other["name"] = json!("other");
    other["remotes"] = json!(["edge"]);
    let other = super::rule(other);
    assert_eq!(
        sites.post("/rules", other).await.fields(),
        ["destination.project"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_is_stopped_within_a_second_in_the_middle_of_a_blob() {
    let registry = RealRegistry::start(Program::Distribution).await;
    let sites = Sites::with(&keys(&registry.url())).await;
    let big = ImageBuilder::new(1).layer(3_000_000).build();
    Pusher::at(&registry.url())
        .image("upstream/app", "1", &big)
        .await;
    sites.rule(pull(json!({"bandwidth": "100KiB/s"}))).await;
    let id = sites.run("to-edge", json!({})).await;
    let path = format!("/executions/{id}");
    eventually(async || (sites.get(&path).await["bytes_sent"].as_u64()? > 0).then_some(())).await;
    let begun = Instant::now();
    assert_eq!(
        sites.post(&format!("{path}/stop"), json!({})).await.status,
        200
    );
    sites.execution(&id, &["Stopped"]).await;
    assert!(begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
    assert_eq!(sites.here("team/app", "1").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_is_away_for_a_while_is_pulled_from_when_it_is_back() {
    let remote = FakeRegistry::start().await;
    let line = Line::to(remote.address()).await;
    remote.put_image("upstream/app", "1", &image(1));
    let keys = format!(
        "{}retry_for = \"1s\"\n",
        keys(&format!("http://{}", line.address()))
    );
    let sites = Sites::with(&keys).await;
    line.set(Trouble::Refused);
    let filters = json!([{"type": "name", "value": "app"}]);
    let source = json!({"project": "upstream", "filters": filters});
    sites.rule(pull(json!({"source": source}))).await;
    let id = sites.run("to-edge", json!({})).await;
    line.connected(1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        sites.get(&format!("/executions/{id}")).await["status"],
        "InProgress"
    );
    line.set(Trouble::None);
    sites
        .hub
        .execute("UPDATE execution SET held_until = 0")
        .await;
    assert_eq!(sites.done(&id).await["status"], "Succeeded");
    assert_eq!(sites.here("team/app", "1").await, Some(image(1).root));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_or_a_tag_that_cannot_be_asked_keeps_no_other_waiting() {
    let remote = FakeRegistry::start().await;
    let one = image(1);
    for place in ["app:1", "app:2", "db:1", "secret:1"] {
        let (repository, tag) = place.split_once(':').unwrap();
        remote.put_image(&format!("upstream/{repository}"), tag, &one);
    }
    let tags_of = |repository| On::tags().repository(repository);
    remote.fault_always(tags_of("upstream/secret"), Fault::Status(403, None));
    remote.fault_always(tags_of("upstream/db"), Fault::Status(500, None));
    let app = On::manifest().repository("upstream/app").reference("1");
    remote.fault_always(app, Fault::Status(500, None));
    let keys = format!("{}header_timeout = \"1s\"\n", keys(remote.url()));
    let sites = Sites::with(&keys).await;
    sites.rule(pull(json!({}))).await;
    let dry = sites.run("to-edge", json!({"dry_run": true})).await;
    let dry = sites.execution(&dry, &["Planned", "Failed"]).await;
    assert_eq!(dry["status"], "Planned", "{dry}");
    for lacking in ["`upstream/secret`", "`upstream/db`", "`upstream/app:1`"] {
        assert!(dry["message"].as_str().unwrap().contains(lacking), "{dry}");
    }

    let id = sites.run("to-edge", json!({})).await;
    let is = async |repository: &str, status: &str| {
        let path = format!("/executions/{id}/tasks?repository=upstream/{repository}");
        eventually(async || {
            let task = sites.get(&path).await["items"][0].clone();
            (task["status"] == status).then_some(task)
        })
        .await
    };
    let secret = is("secret", "Failed").await;
    assert_eq!(secret["attempts"], 1, "{secret}");
    assert!(secret["error"].as_str().unwrap().contains("right to pull"));
    is("db", "Retrying").await;
    is("app", "Retrying").await;
    assert_eq!(sites.here("team/app", "2").await, Some(one.root.clone()));

    remote.clear_faults();
    eventually(async || {
        let due = "UPDATE task SET due_at = 0 WHERE status = 'Retrying'";
        sites.hub.execute(due).await;
        let app = sites.here("team/app", "1").await;
        let both = (app, sites.here("team/db", "1").await);
        (both == (Some(one.root.clone()), Some(one.root.clone()))).then_some(())
    })
    .await;
    let done = sites.done(&id).await;
    assert_eq!(
        (&done["status"], &done["tasks"]["failed"]),
        (&json!("Failed"), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_of_names_counts_where_one_of_them_names_repositories() {
    let remote = FakeRegistry::start().await;
    for repository in ["upstream/app", "upstream/other"] {
        remote.put_image(repository, "1", &image(1));
    }
    let sites = Sites::with(&keys(remote.url())).await;
    let filters = json!([
        {"type": "name", "value": "{app,other}"},
        {"type": "name", "value": "other", "decoration": "excludes"},
    ]);
    let source = json!({"project": "upstream", "filters": filters});
    sites.rule(pull(json!({"source": source}))).await;
    sites.pulled().await;
    assert_eq!(sites.here("team/app", "1").await, Some(image(1).root));
    assert_eq!(sites.here("team/other", "1").await, None);
}
