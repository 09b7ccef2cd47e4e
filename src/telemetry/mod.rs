//! Logs, metrics and traces. Layer 0: everybody may call it; it calls nobody, and has one word of `config`.

mod http;
pub mod log;
pub mod metrics;
mod remotes;
mod tasks;
pub mod totals;
pub mod traces;
mod uploads;
mod webhooks;

pub use log::LogError;
pub use metrics::Metrics;
pub use traces::{Traces, TracesError};
