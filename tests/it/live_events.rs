//! `GET /api/v1/events`: what happens, told to who listens.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::{
    api::PASSWORD,
    harness::{FakeRegistry, ImageBuilder, basic, install_crypto},
    manage::{call, call_as},
    push::Pusher,
    server::{Setup, TestServer, on_both},
};

on_both! {
    what_happens_is_told_while_one_listens,
    who_comes_back_goes_on_where_it_was,
    how_far_executions_are_is_told_once_a_second_to_who_may_see_them,
}

const PATIENCE: Duration = Duration::from_secs(20);

/// One event: id, word, data.
type Told = (String, String, Value);

struct Listener {
    response: reqwest::Response,
    read: String,
}

impl Listener {
    async fn of(server: &TestServer, user: &str, last: Option<&str>) -> Self {
        install_crypto();
        let client = reqwest::Client::builder().no_proxy().build();
        let mut request = client
            .expect("a client")
            .get(format!("{}/api/v1/events", server.url()))
            .header("authorization", basic(user, PASSWORD));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut listener = Self {
            response,
            read: String::new(),
        };
        assert!(
            listener
                .block()
                .await
                .expect("a beginning")
                .contains("retry:")
        );
        listener
    }

    /// What is up to the next empty line; `None`: the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("it comes in time").ok().flatten()?;
            self.read
                .push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// The next event that has an id.
    async fn next(&mut self) -> Told {
        loop {
            if let (Some(id), event, data) = self.any().await {
                return (id, event, data);
            }
        }
    }

    async fn any(&mut self) -> (Option<String>, String, Value) {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.map(|line| line.trim().to_owned())
            };
            if let (Some(event), Some(data)) = (field("event:"), field("data:")) {
                let data = serde_json::from_str(&data).expect("JSON");
                return (field("id:"), event, data);
            }
        }
    }
}

async fn server() -> TestServer {
    let project = |name: &str, visibility: &str| {
        format!(
            "[[project]]\nname = \"{name}\"\nkind = \"hosted\"\nvisibility = \"{visibility}\"\n"
        )
    };
    let server = Setup::empty().section(&format!(
        "[access]\nadmin_password = \"{PASSWORD}\"\n{}{}",
        project("team", "public"),
        project("closed", "private")
    ));
    let server = server
        .remote("nowhere", "http://127.0.0.1:1", "")
        .start()
        .await;
    let ada = json!({"name": "ada", "password": PASSWORD});
    let made = call(&server, Method::POST, "/users", Some(ada)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    server
}

async fn push(server: &TestServer, repository: &str, tag: &str) -> String {
    let image = ImageBuilder::new(1).layer(1000).build();
    Pusher::of(server).image(repository, tag, &image).await;
    image.root
}

async fn what_happens_is_told_while_one_listens() {
    let server = server().await;
    push(&server, "team/app", "before").await;
    let mut admin = Listener::of(&server, "admin", None).await;
    let mut ada = Listener::of(&server, "ada", None).await;
    push(&server, "closed/app", "v1").await;
    let digest = push(&server, "team/app", "v1").await;
    let (_, event, data) = admin.next().await;
    assert_eq!(
        (event.as_str(), &data["repository"]),
        ("pushed", &json!("closed/app"))
    );
    for listener in [&mut admin, &mut ada] {
        let (_, event, data) = listener.next().await;
        assert_eq!(event, "pushed");
        assert_eq!(data["event"], "pushed");
        assert!(data["at"].is_string());
        assert_eq!(data["repository"], "team/app");
        assert_eq!(data["tag"], "v1");
        assert_eq!(data["digest"], digest);
    }
    let rule = json!({
        "name": "r", "remotes": ["nowhere"], "source": {"project": "team"},
        "trigger": {"type": "manual"}, "retry_for": "1s",
    });
    assert_eq!(
        call(&server, Method::POST, "/rules", Some(rule))
            .await
            .status,
        201
    );
    let begun = call(
        &server,
        Method::POST,
        "/rules/r/executions",
        Some(json!({})),
    )
    .await;
    let (_, event, data) = admin.next().await;
    assert_eq!(event, "execution_started");
    assert_eq!(data["execution"], begun.body["id"]);
    assert_eq!(data["rule"], "r");
    // She is no admin of the project.
    push(&server, "team/app", "v2").await;
    assert_eq!(ada.next().await.2["tag"], "v2");
}

async fn who_comes_back_goes_on_where_it_was() {
    let server = server().await;
    let mut first = Listener::of(&server, "ada", None).await;
    push(&server, "team/app", "v1").await;
    let (last, ..) = first.next().await;
    drop(first);
    for tag in ["v2", "v3"] {
        push(&server, "team/app", tag).await;
    }
    let mut again = Listener::of(&server, "ada", Some(&last)).await;
    assert_eq!(again.next().await.2["tag"], "v2");
    assert_eq!(again.next().await.2["tag"], "v3");
    // What it asks for is forgotten by now.
    server.execute("DELETE FROM event WHERE tag = 'v2'").await;
    let mut late = Listener::of(&server, "ada", Some(&last)).await;
    assert_eq!(late.next().await.1, "lagged");
    assert_eq!(late.next().await.2["tag"], "v3");
    let mut of_another = Listener::of(&server, "ada", Some("99999.0")).await;
    assert_eq!(of_another.next().await.1, "lagged");
}

async fn how_far_executions_are_is_told_once_a_second_to_who_may_see_them() {
    let remote = FakeRegistry::start().await;
    let big = ImageBuilder::new(1).layer(400_000).build();
    remote.put_image("upstream/app", "1", &big);
    let server = server().await;
    let far = json!({"name": "far", "urls": [remote.url()]});
    let rule = json!({
        "name": "r", "mode": "pull", "remotes": ["far"], "bandwidth": "100KiB/s",
        "source": {"project": "upstream"}, "destination": {"project": "team", "flatten": 1},
    });
    for (path, body) in [("/remotes", far), ("/rules", rule)] {
        let made = call(&server, Method::POST, path, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let mut admin = Listener::of(&server, "admin", None).await;
    let mut ada = Listener::of(&server, "ada", None).await;
    let path = "/rules/r/executions";
    let begun = call(&server, Method::POST, path, Some(json!({}))).await;
    let mut told = Vec::new();
    loop {
        let (id, event, data) = admin.any().await;
        match event.as_str() {
            "execution_succeeded" => break,
            "execution_progress" => {
                assert_eq!(id, None);
                told.push(data);
            }
            _ => assert!(id.is_some(), "{event}"),
        }
    }
    assert!((2..=12).contains(&told.len()), "{told:?}");
    let at = |data: &Value| {
        let at = data["at"].as_str().expect("a text");
        humantime::parse_rfc3339(at).expect("a time")
    };
    for pair in told.windows(2) {
        let between = at(&pair[1]).duration_since(at(&pair[0]));
        assert!(between.expect("later") >= Duration::from_millis(990));
        assert!(pair[0]["bytes_sent"].as_u64() <= pair[1]["bytes_sent"].as_u64());
    }
    let last = told.last().expect("some");
    assert_eq!(
        (&last["execution"], &last["rule"]),
        (&begun.body["id"], &json!("r"))
    );
    assert_eq!(last["tasks"]["running"], 1, "{last}");
    assert!(last["bytes_sent"].as_u64() > Some(50_000), "{last}");
    assert!(
        last["bytes_total"].as_u64() >= last["bytes_sent"].as_u64(),
        "{last}"
    );

    // She may pull what has come, but see no rule.
    push(&server, "team/other", "end").await;
    loop {
        let (_, event, data) = ada.any().await;
        assert!(!event.starts_with("execution"), "{event} {data}");
        if data["tag"] == "end" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_does_not_hold_up_the_end() {
    let mut server = server().await;
    let mut listener = Listener::of(&server, "admin", None).await;
    let stopping = tokio::time::timeout(Duration::from_secs(4), server.stop());
    let (stopped, end) = tokio::join!(stopping, listener.block());
    stopped.expect("less than the grace time");
    assert_eq!(end, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_none_is_refused_and_so_is_nobody() {
    let server = server().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let url = format!("{}/api/v1/events", server.url());
    let asked = client.get(&url).header("last-event-id", "seven");
    let asked = asked.header("authorization", basic("ada", PASSWORD));
    assert_eq!(asked.send().await.expect("an answer").status(), 400);
    assert_eq!(
        client.get(&url).send().await.expect("an answer").status(),
        401
    );
    let wrong = call_as(&server, ("ada", "wrong"), Method::GET, "/events", None).await;
    assert_eq!(wrong.status, 401);
}
