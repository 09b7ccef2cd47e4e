//! Who may write where: pushes and deletes. A name is not completed by the default project here: its first component is
//! the project.

use std::sync::Arc;

use http::StatusCode;

use super::{Edge, Listener, error::ApiError};
use crate::{
    access::{Caller, Right},
    config::{Project, ProjectKind},
    oci::{Name, error_code::ErrorCode},
    push::Repository,
};

const READS: &str = "GET, HEAD";

impl Edge {
    /// The repository that a write means, if this caller may write to it: `right` is [`Right::Push`] or
    /// [`Right::Delete`].
    pub(super) fn writable(
        &self,
        caller: &Caller,
        name: &Name,
        ns: Option<&str>,
        right: Right,
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
        let Some(project) = project.filter(|project| caller.may_see_project(project)) else {
            let unknown = ApiError::new(
                StatusCode::NOT_FOUND,
                ErrorCode::NameUnknown,
                format!("there is no project for `{name}`"),
            );
            return Err(self.refused(caller, right, name, unknown));
        };
        if let Some(refusal) = refusal(caller, project, name, right) {
            // No login changes what a method means.
            let is_final = refusal.status() == StatusCode::METHOD_NOT_ALLOWED;
            return Err(match is_final {
                true => refusal,
                false => self.refused(caller, right, name, refusal),
            });
        }
        Ok(Repository {
            project: Arc::new(project.clone()),
            name: name.clone(),
        })
    }

    /// May this caller pull from this repository, a hosted or a mirrored one?
    pub(super) fn may_pull_from(&self, caller: &Caller, name: &Name) -> bool {
        let project = self.by_name.get(name.first());
        project.is_some_and(|project| caller.may(Right::Pull, project, name))
    }

    /// The hosted repository that a pull means; `None`: it means none, and a mirror may have it.
    pub(super) fn hosted(
        &self,
        caller: &Caller,
        name: &Name,
        ns: Option<&str>,
    ) -> Option<Repository> {
        let project = self.by_name.get(name.first())?;
        let is_hosted = project.kind == ProjectKind::Hosted;
        let is_asked = is_hosted && ns.is_none() && self.listener == Listener::Main;
        (is_asked && caller.may(Right::Pull, project, name)).then(|| Repository {
            project: Arc::new(project.clone()),
            name: name.clone(),
        })
    }
}

fn refusal(caller: &Caller, project: &Project, name: &Name, right: Right) -> Option<ApiError> {
    match &project.kind {
        ProjectKind::Mirror { .. } if right == Right::Delete => Some(ApiError::not_allowed(
            READS,
            format!(
                "project `{}` is a mirror: nothing is deleted by clients",
                project.name
            ),
        )),
        ProjectKind::Mirror { .. } if !caller.may(Right::Seed, project, name) => {
            Some(ApiError::denied(format!(
                "project `{}` is a mirror: it is filled from its remote and takes no pushes",
                project.name
            )))
        }
        ProjectKind::Hosted if !caller.may(right, project, name) => Some(match caller {
            Caller::Anonymous => ApiError::unauthorized(format!("log in to {}", right.as_str())),
            Caller::Known(_) | Caller::Visitor(_) => {
                ApiError::denied(format!("you may not {} in `{name}`", right.as_str()))
            }
        }),
        ProjectKind::Mirror { .. } | ProjectKind::Hosted => None,
    }
}
