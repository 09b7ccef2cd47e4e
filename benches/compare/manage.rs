//! Entrepot's management API, as the admin of the benchmark.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::http::Connection;
use crate::pusher::LOGIN;

const POLL: Duration = Duration::from_millis(5);
const EXECUTION_TIMEOUT: Duration = Duration::from_mins(10);

pub(crate) struct Manage(pub(crate) SocketAddr);

impl Manage {
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = format!("{LOGIN}Content-Type: application/json\r\n");
        let mut connection = Connection::open(self.0)?;
        let path = format!("/api/v1{path}");
        let mut answer = connection.send(method, &path, &headers, body.as_bytes())?;
        let status = answer.status();
        let body = answer.body()?;
        let said = String::from_utf8_lossy(&body);
        ensure!(status < 300, "{method} {path}: {status} {said}");
        serde_json::from_str(&said).with_context(|| format!("{method} {path}: no JSON"))
    }

    /// A remote without a login.
    pub(crate) fn add_remote(&self, name: &str, address: SocketAddr) -> Result<()> {
        let url = format!("http://{address}");
        let remote = json!({ "name": name, "provider": "docker-registry", "urls": [url] });
        self.call("POST", "/remotes", Some(&remote)).map(drop)
    }

    /// A rule that pushes the project `bench`.
    pub(crate) fn add_rule(&self, name: &str, remotes: &[String], trigger: &str) -> Result<()> {
        let rule = json!({
            "name": name,
            "remotes": remotes,
            "source": { "project": "bench" },
            "trigger": { "type": trigger },
        });
        self.call("POST", "/rules", Some(&rule)).map(drop)
    }

    /// Begins an execution and waits until it has done what it is to do.
    pub(crate) fn execute(&self, rule: &str, dry_run: bool) -> Result<Value> {
        let wanted = if dry_run { "Planned" } else { "Succeeded" };
        self.begin(rule, dry_run, |execution| execution["status"] == wanted)
    }

    /// Begins an execution and waits until it is as wanted, and has not ended before.
    pub(crate) fn begin(
        &self,
        rule: &str,
        dry_run: bool,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let path = format!("/rules/{rule}/executions");
        let begun = self.call("POST", &path, Some(&json!({ "dry_run": dry_run })))?;
        let id = begun["id"].as_str().context("an execution without an id")?;
        let deadline = Instant::now() + EXECUTION_TIMEOUT;
        loop {
            let execution = self.call("GET", &format!("/executions/{id}"), None)?;
            if is_wanted(&execution) {
                return Ok(execution);
            }
            if let Some("Failed" | "Stopped" | "Succeeded") = execution["status"].as_str() {
                bail!("it ended: {execution}");
            }
            ensure!(Instant::now() < deadline, "it does not end: {execution}");
            std::thread::sleep(POLL);
        }
    }
}
