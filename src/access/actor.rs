//! Who makes a change, for the audit.

use std::time::SystemTime;

use super::{Caller, Source};
use crate::meta::AuditEntry;

/// Who makes a change, from where.
#[derive(Debug, Clone)]
pub struct Actor {
    pub name: String,
    pub source: Source,
}

impl Actor {
    pub fn new(caller: &Caller, source: Source) -> Self {
        let name = caller.name().to_owned();
        Self { name, source }
    }

    /// An entry for the audit: this actor did it.
    pub fn entry(
        &self,
        action: &str,
        subject: &str,
        detail: Option<serde_json::Value>,
    ) -> AuditEntry {
        AuditEntry {
            at: SystemTime::now(),
            principal: self.name.clone(),
            source: Some(self.source.to_string()),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: "done".to_owned(),
            detail: detail.map(|detail| detail.to_string()),
        }
    }
}
