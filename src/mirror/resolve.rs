//! From a name as a client sent it, and `?ns=`, to a repository of a project. Pure.

use std::sync::Arc;

use crate::{access::Caller, config::Project, oci::Name};

/// The closed list of projects.
pub struct Projects {
    _private: (),
}

/// A repository of a mirror project.
#[derive(Debug, Clone)]
pub struct Repository {
    pub project: Arc<Project>,
    /// The whole local name, project first: `docker.io/library/nginx`.
    pub name: Name,
    /// The name at the remote: `library/nginx`.
    pub remote_name: Name,
}

/// 404 NAME_UNKNOWN with this message; it names the mirror projects that the caller may see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResolveError(pub String);

impl Projects {
    pub fn new(_projects: Vec<Project>, _remotes: &[crate::config::Remote]) -> Self {
        todo!()
    }
    /// `ns`: the query parameter, already told to be absent when it names this server itself.
    pub fn resolve(
        &self,
        _name: &Name,
        _ns: Option<&str>,
        _caller: Caller,
    ) -> Result<Repository, ResolveError> {
        todo!()
    }
    /// Names of the projects that this caller may pull from, sorted.
    pub fn visible(&self, _caller: Caller) -> Vec<String> {
        todo!()
    }
}
