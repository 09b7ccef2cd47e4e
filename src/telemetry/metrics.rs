//! Every metric name, once.

use std::time::Duration;

/// All metrics of the process; cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {
    _private: (),
}

impl Metrics {
    /// `entrepot_requests_total{project,kind,outcome}`: kind is manifest, blob, tags, referrers; outcome hit, miss, joined, stale, bypass, error.
    pub fn request(&self, _project: &str, _kind: &'static str, _outcome: &'static str) {}
    /// `entrepot_remote_requests_total{remote,kind,method,status}` and `entrepot_remote_seconds{remote}` (to the headers); status 0: no answer.
    pub fn remote_request(
        &self,
        _remote: &str,
        _kind: &'static str,
        _method: &'static str,
        _status: u16,
        _latency: Duration,
    ) {
    }
    /// `entrepot_remote_bytes_total{remote}`
    pub fn remote_bytes(&self, _remote: &str, _bytes: u64) {}
    /// `entrepot_client_bytes_total{project}`
    pub fn client_bytes(&self, _project: &str, _bytes: u64) {}
    /// `entrepot_fills_running`
    pub fn fills_running(&self, _change: i64) {}
    /// The exposition text of `/metrics`.
    pub fn encode(&self) -> String {
        String::new()
    }
}
