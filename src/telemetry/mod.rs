//! Logs and metrics. Layer 0: everybody may call it, it calls nobody.

pub mod log;
pub mod metrics;
pub mod totals;

pub use log::{LogError, LogFormat};
pub use metrics::Metrics;
