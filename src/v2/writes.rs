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

/// What somebody wants to do to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Push,
    Delete,
}

impl Edge {
    /// The repository that a write means, if this caller may write to it. Of a mirror that is seeding, and deleting what
    /// was seeded.
    pub(super) fn writable(
        &self,
        caller: &Caller,
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
            return Err(self.hidden(caller, unknown));
        };
        if is_allowed(caller, project, name, write) {
            return Ok(Repository {
                project: Arc::clone(project),
                name: name.clone(),
            });
        }
        let refusal = refusal(project, write);
        Err(if project.is_mirror() {
            refusal
        } else {
            self.hidden(caller, refusal)
        })
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

fn is_allowed(caller: &Caller, project: &Project, name: &Name, write: Write) -> bool {
    let rights: &[Right] = match (project.is_mirror(), write) {
        (true, Write::Push) => &[Right::Seed],
        (true, Write::Delete) => &[Right::Seed, Right::Delete],
        (false, Write::Push) => &[Right::Push],
        (false, Write::Delete) => &[Right::Delete],
    };
    rights.iter().any(|&right| caller.may(right, project, name))
}

fn refusal(project: &Project, write: Write) -> ApiError {
    let name = &project.name;
    match (project.is_mirror(), write) {
        (true, Write::Push) => ApiError::denied(format!(
            "project `{name}` is a mirror: it is filled from its remote; to push there takes the right `seed`"
        )),
        (true, Write::Delete) => ApiError::not_allowed(
            READS,
            format!("project `{name}` is a mirror: only what was pushed there can be deleted"),
        ),
        (false, Write::Push) => ApiError::denied(format!(
            "to push to project `{name}` takes the right `push`"
        )),
        (false, Write::Delete) => ApiError::denied(format!(
            "to delete from project `{name}` takes the right `delete`"
        )),
    }
}
