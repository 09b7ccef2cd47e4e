//! From a name as a client sent it, and `?ns=`, to a repository of a mirror project. Pure, and a closed world: neither
//! is ever an address to dial.

use std::sync::Arc;

use crate::{
    access::{Caller, ProjectSet, Right, Visitor},
    config::{Project, Visibility},
    oci::{Name, name::NameError},
};

/// A repository of a mirror project.
#[derive(Debug, Clone)]
pub struct Repository {
    pub project: Arc<Project>,
    /// The whole local name, project first: `docker.io/library/nginx`.
    pub name: Name,
    /// The name at the remote: `library/nginx`.
    pub remote_name: Name,
    /// With whose login the remote is asked, if we have none of our own.
    pub(super) visitor: Option<Arc<Visitor>>,
}

impl Repository {
    /// As it is for a visitor whom its remote lets in.
    pub(super) fn visited_by(self, visitor: &Arc<Visitor>) -> Self {
        Self {
            visitor: Some(Arc::clone(visitor)),
            ..self
        }
    }
}

/// What a name means.
#[derive(Debug, Clone)]
pub struct Located {
    pub project: Arc<Project>,
    /// The whole local name, project first.
    pub name: Name,
}

/// 404 `NAME_UNKNOWN` with this message; it names the mirror projects that the caller may see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResolveError(pub String);

/// `ns`: the query parameter, already told to be absent when it names this server itself.
///
/// # Errors
/// [`ResolveError`] when no project that the caller may see has the name.
pub fn resolve(
    projects: &ProjectSet,
    name: &Name,
    ns: Option<&str>,
    caller: &Caller,
) -> Result<Repository, ResolveError> {
    let (project, rest) = match ns {
        Some(ns) => by_ns(projects, name, ns),
        None => by_path(projects, name),
    }
    .filter(|(project, _)| project.is_mirror())
    .ok_or_else(|| unknown(projects, name, ns, caller))?;
    let is_short =
        |rest: &Name| projects.completes_library(&project.name) && !rest.as_str().contains('/');
    let rest = match rest {
        Some(rest) if is_short(&rest) => rest.under("library").map_err(too_long)?,
        Some(rest) => rest,
        None => return Err(unknown(projects, name, ns, caller)),
    };
    let repository = repository(project, &rest)?;
    let visibility = projects.visibility_of(project, &repository.name);
    let is_visitor =
        visibility == Visibility::Remote && caller.visitor_of(project, &repository.name).is_some();
    if !caller.may_at(Right::Pull, visibility, &repository.name) && !is_visitor {
        return Err(unknown(projects, name, ns, caller));
    }
    if !project.admits(rest.as_str()) {
        let name = &project.name;
        return Err(ResolveError(format!(
            "project `{name}` does not mirror `{rest}`"
        )));
    }
    Ok(repository)
}

/// The project that a name means, and the name that its repository has here, whoever asks.
pub fn locate(projects: &ProjectSet, name: &Name, ns: Option<&str>) -> Option<Located> {
    let (project, rest) = match ns {
        Some(ns) => by_ns(projects, name, ns),
        None => by_path(projects, name),
    }?;
    let completed = match rest {
        Some(rest) if projects.completes_library(&project.name) && !rest.as_str().contains('/') => {
            rest.under("library").ok()
        }
        rest => rest,
    };
    let name = match completed {
        Some(rest) => rest.under(&project.name).ok()?,
        None => name.clone(),
    };
    Some(Located {
        project: Arc::clone(project),
        name,
    })
}

/// The repository of a row, whole name as it is stored; also of one that the project does not let through any more.
pub(super) fn stored(projects: &ProjectSet, name: &Name) -> Option<Repository> {
    let project = projects.get(name.first())?;
    repository(project, &name.rest()?).ok()
}

/// A path that begins with the project which `ns` selects loses that component once.
fn by_ns<'p>(
    projects: &'p ProjectSet,
    name: &Name,
    ns: &str,
) -> Option<(&'p Arc<Project>, Option<Name>)> {
    let project = projects.of_host(ns)?;
    let rest = if name.first() == project.name {
        name.rest()
    } else {
        Some(name.clone())
    };
    Some((project, rest))
}

fn by_path<'p>(projects: &'p ProjectSet, name: &Name) -> Option<(&'p Arc<Project>, Option<Name>)> {
    if let Some(project) = projects.get(name.first()) {
        return Some((project, name.rest()));
    }
    let project = projects.default_project()?;
    // A first component that looks like a host is a registry's name that no project has, not Docker Hub's.
    let names_a_host = name.rest().is_some() && name.first().contains('.');
    (!names_a_host).then(|| (project, Some(name.clone())))
}

fn unknown(projects: &ProjectSet, name: &Name, ns: Option<&str>, caller: &Caller) -> ResolveError {
    let mirrors: Vec<_> = projects
        .iter()
        .filter(|project| project.is_mirror() && caller.may_see_project(project))
        .map(|project| project.name.as_str())
        .collect();
    let known = if mirrors.is_empty() {
        "no mirror projects are open to you".to_owned()
    } else {
        format!("mirror projects: {}", mirrors.join(", "))
    };
    match ns {
        Some(ns) => ResolveError(format!("no project mirrors `{ns}`; {known}")),
        None => ResolveError(format!("no project has `{name}`; {known}")),
    }
}

fn repository(project: &Arc<Project>, rest: &Name) -> Result<Repository, ResolveError> {
    let name = rest.under(&project.name).map_err(too_long)?;
    let remote_name = match &project.prefix {
        Some(prefix) => rest.under(prefix.as_str()).map_err(too_long)?,
        None => rest.clone(),
    };
    Ok(Repository {
        project: Arc::clone(project),
        name,
        remote_name,
        visitor: None,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn too_long(error: NameError) -> ResolveError {
    ResolveError(error.to_string())
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
