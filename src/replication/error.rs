//! Why something about a rule cannot be done, by what the caller can do about it.

use super::FieldProblem;
use crate::meta::MetaError;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// Members are wrong.
    #[error("the rule is wrong in {} places", .0.len())]
    Invalid(Vec<FieldProblem>),
    #[error("{0}")]
    NotFound(String),
    /// Something else is in the way.
    #[error("{0}")]
    Conflict(String),
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// A row that this version cannot read.
    #[error("rule `{0}` cannot be read")]
    Corrupt(String),
}

impl ReplicationError {
    pub(super) fn field(field: &str, message: impl Into<String>) -> Self {
        let (field, message) = (field.to_owned(), message.into());
        Self::Invalid(vec![FieldProblem { field, message }])
    }
}
