//! Logs, metrics and traces. Layer 0: everybody may call it, it calls nobody.

pub mod log;
pub mod metrics;
pub mod totals;
pub mod traces;
mod uploads;
mod webhooks;

pub use log::{LogError, LogFormat};
pub use metrics::Metrics;
pub use traces::{Traces, TracesError};
