//! Metrics of what this server asks of remotes.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{Metrics, metrics::Seconds};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RemoteRequestLabels {
    remote: String,
    kind: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RemoteLabels {
    remote: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct UrlLabels {
    remote: String,
    url: String,
}

pub(super) struct Remotes {
    requests: Family<RemoteRequestLabels, Counter>,
    errors: Family<RemoteLabels, Counter>,
    seconds: Family<RemoteLabels, Histogram, Seconds>,
    bytes: Family<RemoteLabels, Counter>,
    healthy: Family<UrlLabels, Gauge>,
}

impl Default for Remotes {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(Seconds),
            bytes: Family::default(),
            healthy: Family::default(),
        }
    }
}

impl Remotes {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Requests to remotes; status 0 is no answer";
        registry.register("remote_requests", help, self.requests.clone());
        let help = "Requests to remotes without an answer or with a 5xx";
        registry.register("remote_errors", help, self.errors.clone());
        let help = "Time to the headers of a remote's answer";
        registry.register("remote_seconds", help, self.seconds.clone());
        let help = "Bytes of content received from remotes";
        registry.register("remote_bytes", help, self.bytes.clone());
        let help = "Whether a URL of a remote is asked; 0 while it is passed over because it does not answer";
        registry.register("remote_healthy", help, self.healthy.clone());
    }
}

impl Metrics {
    /// `entrepot_remote_requests_total{remote,kind,method,status}`, `entrepot_remote_errors_total{remote}` and
    /// `entrepot_remote_seconds{remote}` (to the headers); status 0: no answer.
    pub fn remote_request(
        &self,
        remote: &str,
        kind: &'static str,
        method: &'static str,
        status: u16,
        latency: Duration,
    ) {
        let of_remote = RemoteLabels {
            remote: remote.to_owned(),
        };
        self.0
            .remotes
            .requests
            .get_or_create(&RemoteRequestLabels {
                remote: remote.to_owned(),
                kind,
                method,
                status,
            })
            .inc();
        if status == 0 || status >= 500 {
            self.0.remotes.errors.get_or_create(&of_remote).inc();
        }
        self.0
            .remotes
            .seconds
            .get_or_create(&of_remote)
            .observe(latency.as_secs_f64());
    }

    /// `entrepot_remote_bytes_total{remote}`
    pub fn remote_bytes(&self, remote: &str, bytes: u64) {
        self.0.totals.bytes_from_remotes.fetch_add(bytes, Relaxed);
        self.0
            .remotes
            .bytes
            .get_or_create(&RemoteLabels {
                remote: remote.to_owned(),
            })
            .inc_by(bytes);
    }

    /// `entrepot_remote_healthy{remote,url}`, to be set to 1 or 0.
    pub fn remote_healthy(&self, remote: &str, url: &str) -> Gauge {
        self.0.remotes.healthy.get_or_create_owned(&UrlLabels {
            remote: remote.to_owned(),
            url: url.to_owned(),
        })
    }
}
