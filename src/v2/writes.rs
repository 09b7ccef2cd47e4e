//! Who may write where: pushes and deletes. A name is not completed by the default project here: its first component is
//! the project.

use std::sync::Arc;

use http::StatusCode;

use super::{Edge, Listener, error::ApiError};
use crate::{
    access::Caller,
    config::{Project, ProjectKind},
    oci::{Name, error_code::ErrorCode},
    push::Repository,
};

const READS: &str = "GET, HEAD";

/// What somebody wants to do to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Push,
    Delete,
}

impl Edge {
    /// The repository that a write means, if this caller may write to it.
    pub(super) fn writable(
        &self,
        caller: Caller,
        name: &Name,
        ns: Option<&str>,
        write: Write,
    ) -> Result<Repository, ApiError> {
        if self.listener == Listener::MirrorOnly {
            return Err(ApiError::not_allowed(
                READS,
                "this listener is for pulls only",
            ));
        }
        let project = match ns {
            Some(ns) => self
                .parts
                .configured
                .iter()
                .find(|p| p.hosts.iter().any(|host| host.eq_ignore_ascii_case(ns))),
            None => self.by_name.get(name.first()),
        };
        let Some(project) = project.filter(|project| caller.may_pull(project)) else {
            let unknown = ApiError::new(
                StatusCode::NOT_FOUND,
                ErrorCode::NameUnknown,
                format!("there is no project for `{name}`"),
            );
            return Err(self.hidden(caller, unknown));
        };
        if let Some(refusal) = refusal(caller, project, write) {
            return Err(refusal);
        }
        Ok(Repository {
            project: Arc::new(project.clone()),
            name: name.clone(),
        })
    }

    /// May this caller pull from this repository, a hosted or a mirrored one?
    pub(super) fn may_pull_from(&self, caller: Caller, name: &Name) -> bool {
        let project = self.by_name.get(name.first());
        project.is_some_and(|project| caller.may_pull(project))
    }

    /// The hosted repository that a pull means; `None`: it means none, and a mirror may have it.
    pub(super) fn hosted(
        &self,
        caller: Caller,
        name: &Name,
        ns: Option<&str>,
    ) -> Option<Repository> {
        let project = self.by_name.get(name.first())?;
        let is_hosted = project.kind == ProjectKind::Hosted;
        let is_asked = is_hosted && ns.is_none() && self.listener == Listener::Main;
        (is_asked && caller.may_pull(project)).then(|| Repository {
            project: Arc::new(project.clone()),
            name: name.clone(),
        })
    }
}

fn refusal(caller: Caller, project: &Project, write: Write) -> Option<ApiError> {
    match (&project.kind, write) {
        (ProjectKind::Mirror { .. }, Write::Push) => Some(ApiError::denied(format!(
            "project `{}` is a mirror: it is filled from its remote and takes no pushes",
            project.name
        ))),
        (ProjectKind::Mirror { .. }, Write::Delete) => Some(ApiError::not_allowed(
            READS,
            format!(
                "project `{}` is a mirror: nothing is deleted by clients",
                project.name
            ),
        )),
        (ProjectKind::Hosted, _) if caller == Caller::Anonymous => {
            Some(ApiError::unauthorized("log in to push"))
        }
        (ProjectKind::Hosted, _) => None,
    }
}
