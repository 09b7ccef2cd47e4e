//! All metrics of the process. Every name is written once, here or beside what it is about (`http`, `remotes`, `uploads`,
//! `webhooks`, `tasks`); those of counters end with `_total`, which is added to them.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};

use super::{
    http::Http,
    remotes::Remotes,
    tasks::Tasks,
    totals::{Counters, Totals},
    uploads::Uploads,
    webhooks::Webhooks,
};

/// The content type of [`Metrics::encode`].
pub const EXPOSITION_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process; cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics(pub(super) Arc<Families>);

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    project: String,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProjectLabels {
    project: String,
}

/// From a page-cache hit to a remote that nearly timed out.
#[derive(Debug, Clone, Default)]
pub(super) struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        ])
    }
}

pub(super) struct Families {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    pub(super) http: Http,
    pub(super) remotes: Remotes,
    client_bytes: Family<ProjectLabels, Counter>,
    fills_running: Gauge,
    pub(super) uploads: Uploads,
    pub(super) webhooks: Webhooks,
    pub(super) tasks: Tasks,
    pub(super) totals: Counters,
}

impl Default for Families {
    fn default() -> Self {
        let mut families = Self {
            registry: Registry::with_prefix("entrepot"),
            requests: Family::default(),
            http: Http::default(),
            remotes: Remotes::default(),
            client_bytes: Family::default(),
            fills_running: Gauge::default(),
            uploads: Uploads::default(),
            webhooks: Webhooks::default(),
            tasks: Tasks::default(),
            totals: Counters::default(),
        };
        families.register();
        families
    }
}

impl Families {
    /// The list of names.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "requests",
            "Requests for content, by how the answer came about",
            self.requests.clone(),
        );
        self.http.register(registry);
        self.remotes.register(registry);
        registry.register(
            "client_bytes",
            "Bytes of content sent to clients",
            self.client_bytes.clone(),
        );
        registry.register(
            "fills_running",
            "Downloads from remotes that are running",
            self.fills_running.clone(),
        );
        self.uploads.register(registry);
        self.webhooks.register(registry);
        self.tasks.register(registry);
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))].to_vec()),
        );
    }
}

impl Metrics {
    /// `entrepot_requests_total{project,kind,outcome}`: kind is manifest, blob, tags, referrers; outcome hit, miss, joined, stale,
    /// bypass, absent (answered 404), error.
    pub fn request(&self, project: &str, kind: &'static str, outcome: &'static str) {
        self.0.totals.request(outcome);
        self.0
            .requests
            .get_or_create(&RequestLabels {
                project: project.to_owned(),
                kind,
                outcome,
            })
            .inc();
    }

    /// `entrepot_client_bytes_total{project}`
    pub fn client_bytes(&self, project: &str, bytes: u64) {
        self.0.totals.bytes_to_clients.fetch_add(bytes, Relaxed);
        self.0
            .client_bytes
            .get_or_create(&ProjectLabels {
                project: project.to_owned(),
            })
            .inc_by(bytes);
    }
    /// `entrepot_fills_running`
    pub fn fills_running(&self, change: i64) {
        self.0.fills_running.inc_by(change);
    }
    /// Sums over all projects and remotes.
    pub fn totals(&self) -> Totals {
        self.0.totals.read()
    }
    /// The exposition text of `/metrics`.
    pub fn encode(&self) -> String {
        let mut exposition = String::new();
        text::encode(&mut exposition, &self.0.registry).expect("writing to a String does not fail");
        exposition
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_names_of_the_contract_are_exposed() {
        let metrics = Metrics::default();
        metrics.request("docker.io", "blob", "hit");
        metrics.http_request("blob", "GET", 200, Duration::from_millis(3));
        let ms = Duration::from_millis;
        metrics.remote_request("docker.io", "manifest", "GET", 200, ms(40));
        metrics.remote_request("docker.io", "manifest", "GET", 0, Duration::from_secs(15));
        metrics.remote_bytes("docker.io", 7);
        metrics
            .remote_healthy("docker.io", "https://registry-1.docker.io")
            .set(1);
        metrics.client_bytes("docker.io", 9);
        metrics.fills_running(2);
        metrics.fills_running(-1);
        metrics.webhook_delivery("ci", "failed", 1);
        metrics.tasks("Retrying", 4);
        let text = metrics.encode();
        for line in [
            r#"entrepot_requests_total{project="docker.io",kind="blob",outcome="hit"} 1"#,
            r#"entrepot_http_requests_total{route="blob",method="GET",status="200"} 1"#,
            r#"entrepot_remote_requests_total{remote="docker.io",kind="manifest",method="GET",status="0"} 1"#,
            r#"entrepot_remote_errors_total{remote="docker.io"} 1"#,
            r#"entrepot_remote_seconds_count{remote="docker.io"} 2"#,
            r#"entrepot_remote_bytes_total{remote="docker.io"} 7"#,
            r#"entrepot_remote_healthy{remote="docker.io",url="https://registry-1.docker.io"} 1"#,
            r#"entrepot_client_bytes_total{project="docker.io"} 9"#,
            "entrepot_fills_running 1",
            r#"entrepot_tasks{status="Retrying"} 4"#,
            r#"entrepot_webhook_deliveries_total{webhook="ci",outcome="failed"} 1"#,
            concat!(
                r#"entrepot_build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""} 1"#
            ),
        ] {
            assert!(text.lines().any(|had| had == line), "{line} not in\n{text}");
        }
    }

    #[test]
    fn clones_count_together() {
        let metrics = Metrics::default();
        metrics.clone().client_bytes("ghcr.io", 1);
        metrics.client_bytes("ghcr.io", 1);
        assert!(
            metrics
                .encode()
                .contains(r#"entrepot_client_bytes_total{project="ghcr.io"} 2"#)
        );
    }

    #[test]
    fn totals_are_sums_over_projects_and_remotes() {
        let metrics = Metrics::default();
        metrics.request("docker.io", "blob", "hit");
        metrics.request("ghcr.io", "manifest", "hit");
        metrics.request("ghcr.io", "manifest", "miss");
        metrics.request("ghcr.io", "tags", "error");
        metrics.remote_bytes("ghcr.io", 7);
        metrics.client_bytes("ghcr.io", 8);
        metrics.client_bytes("docker.io", 1);
        let expected = Totals {
            hits: 2,
            misses: 1,
            errors: 1,
            bytes_from_remotes: 7,
            bytes_to_clients: 9,
            ..Totals::default()
        };
        assert_eq!(metrics.totals(), expected);
    }
}
