//! Logs and metrics. Layer 0.

pub mod metrics;

pub use metrics::Metrics;
