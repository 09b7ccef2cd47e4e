//! Metrics of what clients ask of this server.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{Metrics, metrics::Seconds};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HttpLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

pub(super) struct Http {
    requests: Family<HttpLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, Seconds>,
    aborted: Family<RouteLabels, Counter>,
    connections: Gauge,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(Seconds),
            aborted: Family::default(),
            connections: Gauge::default(),
        }
    }
}

impl Http {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "HTTP requests answered";
        registry.register("http_requests", help, self.requests.clone());
        let help = "Time from a request to the headers of its answer";
        registry.register("http_seconds", help, self.seconds.clone());
        let help = "Answers whose body did not reach its end";
        registry.register("http_aborted", help, self.aborted.clone());
        let help = "Connections of clients that are open";
        registry.register("connections", help, self.connections.clone());
    }
}

impl Metrics {
    /// `entrepot_http_requests_total{route,method,status}` and `entrepot_http_seconds{route}` (to the headers).
    pub fn http_request(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        latency: Duration,
    ) {
        self.0
            .http
            .requests
            .get_or_create(&HttpLabels {
                route,
                method,
                status,
            })
            .inc();
        self.0
            .http
            .seconds
            .get_or_create(&RouteLabels { route })
            .observe(latency.as_secs_f64());
    }

    /// `entrepot_http_aborted_total{route}`
    pub fn http_aborted(&self, route: &'static str) {
        self.0
            .http
            .aborted
            .get_or_create(&RouteLabels { route })
            .inc();
    }

    /// `entrepot_connections`
    pub fn connections(&self, change: i64) {
        self.0.http.connections.inc_by(change);
    }
}
