//! Pushes and deletes: what this version says to them. A name is not completed by the default project here: its first
//! component is the project.

use http::StatusCode;

use super::{Edge, Listener, error::ApiError};
use crate::{
    access::{Caller, Right},
    config::{Project, ProjectKind},
    oci::{Name, error_code::ErrorCode},
};

const READS: &str = "GET, HEAD";

/// What somebody wants to do to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Push,
    Delete,
}

impl Edge {
    /// The refusal.
    pub(super) fn write(
        &self,
        caller: &Caller,
        name: &Name,
        ns: Option<&str>,
        write: Write,
    ) -> ApiError {
        if self.listener == Listener::MirrorOnly {
            return ApiError::not_allowed(READS, "this listener is for pulls only");
        }
        let right = match write {
            Write::Push => Right::Push,
            Write::Delete => Right::Delete,
        };
        let project = match ns {
            Some(ns) => self
                .parts
                .configured
                .iter()
                .find(|p| p.hosts.iter().any(|host| host.eq_ignore_ascii_case(ns))),
            None => self.by_name.get(name.first()),
        };
        match project.filter(|project| caller.may_see_project(project)) {
            Some(project) => refusal(project, write),
            None => self.refused(
                caller,
                right,
                name,
                ApiError::new(
                    StatusCode::NOT_FOUND,
                    ErrorCode::NameUnknown,
                    format!("there is no project for `{name}`"),
                ),
            ),
        }
    }
}

fn refusal(project: &Project, write: Write) -> ApiError {
    match (&project.kind, write) {
        (ProjectKind::Mirror { .. }, Write::Push) => ApiError::denied(format!(
            "project `{}` is a mirror: it is filled from its remote and takes no pushes",
            project.name
        )),
        (ProjectKind::Mirror { .. }, Write::Delete) => ApiError::not_allowed(
            READS,
            format!(
                "project `{}` is a mirror: nothing is deleted by clients",
                project.name
            ),
        ),
        (ProjectKind::Hosted, Write::Push) => {
            ApiError::not_allowed(READS, "this version does not take pushes yet")
        }
        (ProjectKind::Hosted, Write::Delete) => {
            ApiError::not_allowed(READS, "this version does not take deletes yet")
        }
    }
}
