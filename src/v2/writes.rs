//! Who may write where: pushes and deletes. A name is not completed by the default project here: its first component is
//! the project.

use std::sync::Arc;

use http::StatusCode;

use super::{Edge, Listener, error::ApiError};
use crate::{
    access::{Caller, Right},
    config::Project,
    oci::{Name, error_code::ErrorCode},
    push::Repository,
};

const READS: &str = "GET, HEAD";

impl Edge {
    /// The repository that a write means, if this caller may write to it. Of a mirror that is seeding, and deleting what
    /// was seeded. `right` is [`Right::Push`] or [`Right::Delete`].
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
        let projects = self.parts.projects.now();
        let project = match ns {
            Some(ns) => projects.of_host(ns),
            None => projects.get(name.first()),
        };
        let Some(project) = project.filter(|project| caller.may_see_project(project)) else {
            let unknown = ApiError::new(
                StatusCode::NOT_FOUND,
                ErrorCode::NameUnknown,
                format!("there is no project for `{name}`"),
            );
            return Err(self.refused(caller, right, name, unknown));
        };
        if is_allowed(caller, project, name, right) {
            return Ok(Repository {
                project: Arc::clone(project),
                name: name.clone(),
            });
        }
        let refusal = refusal(caller, project, name, right);
        // No login changes what a method means.
        if refusal.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Err(refusal);
        }
        Err(self.refused(caller, right, name, refusal))
    }

    /// May this caller pull from this repository, a hosted or a mirrored one?
    pub(super) fn may_pull_from(&self, caller: &Caller, name: &Name) -> bool {
        self.parts.projects.now().may_pull(caller, name)
    }

    /// The hosted repository that a pull means; `None`: it means none, and a mirror may have it.
    pub(super) fn hosted(
        &self,
        caller: &Caller,
        name: &Name,
        ns: Option<&str>,
    ) -> Option<Repository> {
        let projects = self.parts.projects.now();
        let project = projects.get(name.first())?;
        let is_asked = !project.is_mirror() && ns.is_none() && self.listener == Listener::Main;
        (is_asked && projects.may_pull(caller, name)).then(|| Repository {
            project: Arc::clone(project),
            name: name.clone(),
        })
    }
}

fn is_allowed(caller: &Caller, project: &Project, name: &Name, right: Right) -> bool {
    let may = |right| caller.may(right, project, name);
    match right {
        _ if !project.is_mirror() => may(right),
        Right::Delete => may(Right::Seed) || may(Right::Delete),
        _ => may(Right::Seed),
    }
}

fn refusal(caller: &Caller, project: &Project, name: &Name, right: Right) -> ApiError {
    match right {
        Right::Delete if project.is_mirror() => ApiError::not_allowed(
            READS,
            format!(
                "project `{}` is a mirror: only what was pushed there is deleted by clients",
                project.name
            ),
        ),
        _ if project.is_mirror() => ApiError::denied(format!(
            "project `{}` is a mirror: it is filled from its remote and takes no pushes",
            project.name
        )),
        _ if caller.is_anonymous() => {
            ApiError::unauthorized(format!("log in to {}", right.as_str()))
        }
        _ => ApiError::denied(format!("you may not {} in `{name}`", right.as_str())),
    }
}
