//! The one who asks.

use crate::config::{Project, Visibility};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    /// The system admin.
    Admin,
}

impl Caller {
    /// May this caller pull from (and know of) this project?
    pub fn may_pull(self, project: &Project) -> bool {
        match self {
            Self::Admin => true,
            Self::Anonymous => project.visibility == Visibility::Public,
        }
    }
}
