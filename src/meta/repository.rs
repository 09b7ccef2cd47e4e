//! Repositories: names that have content.

use super::{Meta, MetaError};
use crate::oci::Name;

impl Meta {
    /// Up to `limit` names after `after`, sorted as bytes, whose project is one of `projects`.
    pub async fn repositories(
        &self,
        _projects: &[String],
        _after: Option<&str>,
        _limit: u32,
    ) -> Result<Vec<Name>, MetaError> {
        todo!()
    }
}
