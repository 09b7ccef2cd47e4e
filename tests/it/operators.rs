//! What operators look at while the server runs: health, metrics, the access log.

use serde_json::Value;

use crate::{
    harness::{Client, FakeRegistry, Fault, Image, ImageBuilder, On, SlowReader, get, head},
    process::Process,
    server::{Setup, TestServer},
};

async fn hub() -> (FakeRegistry, Image) {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(300_000).build();
    hub.put_image("library/app", "1", &image);
    (hub, image)
}

/// As `Setup::hub`, but soon done with a remote that is down.
fn impatient(hub: &FakeRegistry) -> Setup {
    let keys = "provider = \"docker-hub\"\nheader_timeout = \"400ms\"";
    Setup::empty().remote("docker.io", hub.url(), keys).project(
        "docker.io",
        "docker.io",
        "default = true",
    )
}

/// The value of one series, 0 if it is not there.
async fn metric(server: &TestServer, series: &str) -> u64 {
    let text = server.metrics().await;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().expect("a whole number"))
}

fn requests(kind: &str, outcome: &str) -> String {
    format!(
        "entrepot_requests_total{{project=\"docker.io\",kind=\"{kind}\",outcome=\"{outcome}\"}}"
    )
}

fn remote_requests(kind: &str, method: &str, status: u16) -> String {
    format!(
        "entrepot_remote_requests_total{{remote=\"docker.io\",kind=\"{kind}\",method=\"{method}\",status=\"{status}\"}}"
    )
}

#[tokio::test]
async fn the_process_is_alive_and_ready_while_remotes_are_down() {
    let (hub, _image) = hub().await;
    hub.stop().await;
    let server = Setup::hub(&hub).start().await;
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        let answer = get(&format!("{}{path}", server.url())).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(
            head(&format!("{}{path}", server.url())).await.status,
            200,
            "{path}"
        );
    }
    assert_eq!(get(&format!("{}/nothing", server.url())).await.status, 404);
}

#[tokio::test]
async fn requests_are_counted_by_project_kind_and_outcome() {
    let (hub, image) = hub().await;
    let server = impatient(&hub).freshness("mode = \"always\"").start().await;
    let layer = &image.layers()[0];
    let (manifest, blob) = (
        server.manifest_url("library/app", "1"),
        server.blob_url("library/app", layer),
    );
    get(&manifest).await;
    get(&manifest).await;
    head(&manifest).await;
    let hold = hub.hold_after(On::blob(), 100_000);
    let mut first = SlowReader::open(&blob, &[]).await;
    hold.reached(1).await;
    let mut second = SlowReader::open(&blob, &[]).await;
    assert_eq!(metric(&server, "entrepot_fills_running").await, 1);
    hold.release();
    first.read_to_end().await;
    second.read_to_end().await;
    server.settled().await;
    get(&blob).await;
    get(&server.manifest_url("library/app", "none")).await;
    get(&format!("{}/v2/library/app/tags/list", server.url())).await;
    hub.stop().await;
    get(&manifest).await;
    get(&server.manifest_url("library/other", "1")).await;
    for (kind, outcome, count) in [
        ("manifest", "miss", 1),
        ("manifest", "hit", 2),
        ("manifest", "stale", 1),
        ("manifest", "absent", 1),
        ("manifest", "error", 1),
        ("blob", "miss", 1),
        ("blob", "joined", 1),
        ("blob", "hit", 1),
        ("tags", "miss", 1),
    ] {
        assert_eq!(
            metric(&server, &requests(kind, outcome)).await,
            count,
            "{kind} {outcome}"
        );
    }
    assert_eq!(metric(&server, "entrepot_fills_running").await, 0);
}

#[tokio::test]
async fn bytes_latency_and_errors_of_remotes_are_counted() {
    let (hub, image) = hub().await;
    let server = impatient(&hub).start().await;
    let layer = &image.layers()[0];
    let blob = server.blob_url("library/app", layer);
    hub.fault(On::blob(), Fault::status(500));
    for _ in 0..3 {
        assert_eq!(get(&blob).await.status, 200);
        server.settled().await;
    }
    assert_eq!(
        metric(&server, "entrepot_remote_bytes_total{remote=\"docker.io\"}").await,
        300_000
    );
    assert_eq!(
        metric(
            &server,
            "entrepot_client_bytes_total{project=\"docker.io\"}"
        )
        .await,
        900_000
    );
    assert_eq!(
        metric(&server, &remote_requests("blob", "GET", 200)).await,
        1
    );
    assert_eq!(
        metric(&server, &remote_requests("blob", "GET", 500)).await,
        1
    );
    assert_eq!(
        metric(
            &server,
            "entrepot_remote_errors_total{remote=\"docker.io\"}"
        )
        .await,
        1
    );
    assert_eq!(
        metric(
            &server,
            "entrepot_remote_seconds_count{remote=\"docker.io\"}"
        )
        .await,
        2
    );
    hub.stop().await;
    get(&server.manifest_url("library/app", "1")).await;
    assert!(
        metric(&server, &remote_requests("manifest", "GET", 0)).await >= 1,
        "{}",
        server.metrics().await
    );
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let (hub, _image) = hub().await;
    let server = Setup::hub(&hub).start().await;
    get(&server.manifest_url("library/app", "1")).await;
    let answer = get(&format!("{}/metrics", server.url())).await;
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text"),
        "{answer:?}"
    );
    let text = String::from_utf8(answer.body.to_vec()).expect("text");
    assert!(text.ends_with("# EOF\n"));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("entrepot_"), "{line}");
        let value = line.rsplit(' ').next().expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn each_request_has_one_access_line_with_id_bytes_and_outcome() {
    let (hub, image) = hub().await;
    let process = Process::serve(&Setup::hub(&hub).text(), &[]).await;
    let layer = image.layers()[0].clone();
    let path = format!("/v2/library/app/blobs/{layer}");
    let asked = [("x-request-id", "my-id-1"), ("user-agent", "tests/1")];
    let url = format!("{}{path}?secret=in-the-query", process.url);
    let answer = Client::new().send(http::Method::GET, &url, &asked).await;
    assert_eq!((answer.status, answer.body.len()), (200, 300_000));
    assert_eq!(answer.header("x-request-id"), "my-id-1");
    let line = process.logged(|line| line["request_id"] == "my-id-1").await;
    assert_eq!(
        (&line["method"], &line["status"]),
        (&"GET".into(), &200.into())
    );
    assert_eq!(
        (&line["path"], &line["bytes"]),
        (&path.as_str().into(), &300_000.into())
    );
    assert_eq!(
        (&line["outcome"], &line["aborted"]),
        (&"miss".into(), &false.into())
    );
    assert_eq!(
        (&line["client"], &line["user_agent"]),
        (&"127.0.0.1".into(), &"tests/1".into())
    );
    assert!(line["duration_ms"].is_u64());
    let without = get(&format!("{}/v2/", process.url)).await;
    let id = without.header("x-request-id").to_owned();
    assert!(!id.is_empty());
    process
        .logged(|line| line["request_id"] == id.as_str())
        .await;
    let failed = get(&format!("{}/v2/library/app/manifests/none", process.url)).await;
    let id = failed.header("x-request-id").to_owned();
    let line = process
        .logged(|line| line["request_id"] == id.as_str())
        .await;
    assert_eq!(line["status"], 404);
    let lines = process.stderr();
    assert_eq!(
        lines.matches("my-id-1").count(),
        1,
        "one line for one request"
    );
    assert!(!lines.contains("in-the-query"));
    for line in lines.lines() {
        assert!(
            serde_json::from_str::<Value>(line).is_ok(),
            "not JSON: {line}"
        );
    }
}

#[tokio::test]
async fn an_aborted_body_has_its_access_line_too() {
    let (hub, image) = hub().await;
    let process = Process::serve(&Setup::hub(&hub).text(), &[]).await;
    let layer = image.layers()[0].clone();
    let hold = hub.hold_after(On::blob(), 100_000);
    let url = format!("{}/v2/library/app/blobs/{layer}", process.url);
    let mut reader = SlowReader::open(&url, &[("x-request-id", "gone")]).await;
    assert_eq!(reader.read(50_000).await.len(), 50_000);
    drop(reader);
    let line = process.logged(|line| line["request_id"] == "gone").await;
    assert_eq!(
        (&line["aborted"], &line["status"]),
        (&true.into(), &200.into())
    );
    let bytes = line["bytes"].as_u64().expect("a number");
    assert!((50_000..=110_000).contains(&bytes), "{bytes}");
    hold.release();
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_has_its_access_line_too() {
    let (hub, _image) = hub().await;
    let process = Process::serve(&Setup::hub(&hub).text(), &[]).await;
    let hold = hub.hold(On::manifest());
    let url = format!("{}/v2/library/app/manifests/1", process.url);
    let asked = tokio::spawn({
        let url = url.clone();
        async move {
            let id = [("x-request-id", "impatient")];
            Client::new().try_send(http::Method::GET, &url, &id).await
        }
    });
    hold.reached(1).await;
    asked.abort();
    let line = process
        .logged(|line| line["request_id"] == "impatient")
        .await;
    assert_eq!(
        (&line["aborted"], &line["status"], &line["bytes"]),
        (&true.into(), &0.into(), &0.into())
    );
    hold.release();
    // What was asked on its behalf is kept for the next one.
    assert_eq!(get(&url).await.status, 200);
    assert_eq!(hub.count(On::manifest()), 1);
}

#[tokio::test]
async fn a_head_is_not_logged_as_aborted() {
    let (hub, image) = hub().await;
    let process = Process::serve(&Setup::hub(&hub).text(), &[]).await;
    for path in [
        "manifests/1".to_owned(),
        format!("blobs/{}", image.layers()[0]),
    ] {
        let url = format!("{}/v2/library/app/{path}", process.url);
        let answer = head(&url).await;
        let id = answer.header("x-request-id").to_owned();
        let line = process
            .logged(|line| line["request_id"] == id.as_str())
            .await;
        assert_eq!(
            (&line["method"], &line["aborted"], &line["bytes"]),
            (&"HEAD".into(), &false.into(), &0.into())
        );
    }
}

#[tokio::test]
async fn secrets_are_in_no_log_line() {
    let cdn = FakeRegistry::start().await;
    let hub = FakeRegistry::builder()
        .redirect_blobs_to(&cdn)
        .bearer_account("robot", "s3cret-pw")
        .start()
        .await;
    let image = ImageBuilder::new(2).layer(1000).build();
    hub.put_image("app", "1", &image);
    let keys = "username = \"robot\"\npassword = \"s3cret-pw\"\nretry_for = \"1s\"";
    let setup = Setup::empty()
        .mirror_with("r.io", &hub, keys)
        .section("[log]\nlevel = \"trace\"\nformat = \"json\"");
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("entrepot.toml"), setup.text()).expect("a file");
    let command = crate::process::command(folder.path(), &["serve", "--config", "entrepot.toml"]);
    let process = Process::start(folder, command).await;
    cdn.fault(On::cdn(), Fault::status(403));
    for path in [
        "manifests/1".to_owned(),
        format!("blobs/{}", image.layers()[0]),
    ] {
        let url = format!("{}/v2/r.io/app/{path}", process.url);
        let asked = [("authorization", "Basic YWRtaW46Z3Vlc3NlZA==")];
        Client::new().send(http::Method::GET, &url, &asked).await;
        get(&url).await;
    }
    process
        .logged(|line| line["target"] == "access" && line["path"].to_string().contains("blobs"))
        .await;
    let log = process.stderr();
    for secret in [
        "s3cret-pw",
        "token-1",
        "signature=",
        "YWRtaW46Z3Vlc3NlZA",
        "guessed",
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in {line:?}");
    }
}
