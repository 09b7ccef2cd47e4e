//! Metrics of content on its way into object storage.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::Metrics;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct UploadLabels {
    outcome: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Uploads {
    ended: Family<UploadLabels, Counter>,
    bytes: Counter,
}

impl Uploads {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Uploads of content into object storage that ended";
        registry.register("uploads", help, self.ended.clone());
        let help = "Bytes of content that is in object storage by uploads";
        registry.register("uploaded_bytes", help, self.bytes.clone());
    }
}

impl Metrics {
    /// `entrepot_uploads_total{outcome}` and `entrepot_uploaded_bytes_total`: outcome is done, late (nobody needs it any
    /// more) or failed.
    pub fn upload(&self, outcome: &'static str, bytes: u64) {
        let uploads = &self.0.uploads;
        uploads.ended.get_or_create(&UploadLabels { outcome }).inc();
        uploads.bytes.inc_by(bytes);
    }
}
