//! Metrics of webhooks: what is delivered, and how far they are behind.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::Metrics;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WebhookLabels {
    webhook: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeliveryLabels {
    webhook: String,
    outcome: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Webhooks {
    deliveries: Family<DeliveryLabels, Counter>,
    behind: Family<WebhookLabels, Gauge>,
}

impl Webhooks {
    /// The list of names.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "webhook_deliveries",
            "Events for webhooks: delivered, failed (they are sent again) or dropped",
            self.deliveries.clone(),
        );
        registry.register(
            "webhook_behind_seconds",
            "Age of the oldest event that a webhook's receiver does not take",
            self.behind.clone(),
        );
    }
}

impl Metrics {
    /// `entrepot_webhook_deliveries_total{webhook,outcome}`
    pub fn webhook_delivery(&self, webhook: &str, outcome: &'static str, count: u64) {
        let labels = DeliveryLabels {
            webhook: webhook.to_owned(),
            outcome,
        };
        let deliveries = &self.0.webhooks.deliveries;
        deliveries.get_or_create(&labels).inc_by(count);
    }

    /// `entrepot_webhook_behind_seconds{webhook}`; 0: it has taken everything.
    pub fn webhook_behind(&self, webhook: &str, seconds: u64) {
        let labels = WebhookLabels {
            webhook: webhook.to_owned(),
        };
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.0.webhooks.behind.get_or_create(&labels).set(seconds);
    }
}
