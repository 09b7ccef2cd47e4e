//! The metric of tasks: how many there are in each state.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::Metrics;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TaskLabels {
    status: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Tasks {
    count: Family<TaskLabels, Gauge>,
}

impl Tasks {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Tasks of rules by status, of all replicas together; those that have ended for as long as they are kept";
        registry.register("tasks", help, self.count.clone());
    }
}

impl Metrics {
    /// `entrepot_tasks{status}`
    pub fn tasks(&self, status: &'static str, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let tasks = &self.0.tasks.count;
        tasks.get_or_create(&TaskLabels { status }).set(count);
    }
}
