//! From a name as a client sent it, and `?ns=`, to a repository of a mirror project. Pure, and a closed world: neither
//! is ever an address to dial.

use std::{collections::HashMap, sync::Arc};

use crate::{
    access::{Caller, Right, Visitor},
    config::{Project, ProjectKind, Provider, Remote, Visibility},
    oci::Name,
};

/// The closed list of projects.
pub struct Projects {
    by_name: HashMap<String, Entry>,
    /// Value of `?ns=` → project name.
    by_host: HashMap<String, String>,
    /// The project that completes names which start with no project's name.
    default: Option<String>,
}

struct Entry {
    project: Arc<Project>,
    /// Names of one component at the remote are completed with `library/`.
    completes_library: bool,
}

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

impl Projects {
    pub fn new(projects: Vec<Project>, remotes: &[Remote]) -> Self {
        Self::from_entries(projects, |project| match &project.kind {
            ProjectKind::Mirror { remote } => remotes
                .iter()
                .any(|known| known.name == *remote && known.provider == Provider::DockerHub),
            ProjectKind::Hosted => false,
        })
    }

    fn from_entries(projects: Vec<Project>, completes_library: impl Fn(&Project) -> bool) -> Self {
        let default = projects.iter().find(|project| project.default);
        let default = default.map(|project| project.name.clone());
        let mirrors = projects
            .iter()
            .filter(|project| matches!(project.kind, ProjectKind::Mirror { .. }));
        let by_host = mirrors
            .flat_map(|project| {
                project
                    .hosts
                    .iter()
                    .map(|host| (host.clone(), project.name.clone()))
            })
            .collect();
        let by_name = projects.into_iter().map(|project| {
            let completes_library = completes_library(&project);
            (
                project.name.clone(),
                Entry {
                    project: Arc::new(project),
                    completes_library,
                },
            )
        });
        Self {
            by_name: by_name.collect(),
            by_host,
            default,
        }
    }

    /// `ns`: the query parameter, already told to be absent when it names this server itself.
    ///
    /// # Errors
    /// [`ResolveError`] when no project that the caller may see has the name.
    pub fn resolve(
        &self,
        name: &Name,
        ns: Option<&str>,
        caller: &Caller,
    ) -> Result<Repository, ResolveError> {
        let (entry, rest) = match ns {
            Some(ns) => self.by_ns(name, ns),
            None => self.by_path(name),
        }
        .filter(|(entry, _)| caller.may_see_project(&entry.project))
        .filter(|(entry, _)| matches!(entry.project.kind, ProjectKind::Mirror { .. }))
        .ok_or_else(|| self.unknown(name, ns, caller))?;
        let rest = match rest {
            Some(rest) if entry.completes_library && !rest.as_str().contains('/') => rest
                .under("library")
                .map_err(|error| ResolveError(error.to_string()))?,
            Some(rest) => rest,
            None => return Err(self.unknown(name, ns, caller)),
        };
        if !entry.project.admits(rest.as_str()) {
            let name = &entry.project.name;
            return Err(ResolveError(format!(
                "project `{name}` does not mirror `{rest}`"
            )));
        }
        let repository = repository(entry, &rest)?;
        let (project, local) = (&repository.project, &repository.name);
        if caller.may(Right::Pull, project, local) || caller.visitor_of(project, local).is_some() {
            Ok(repository)
        } else {
            Err(self.unknown(name, ns, caller))
        }
    }

    /// The project that a name means, and the name that its repository has here, whoever asks.
    pub fn locate(&self, name: &Name, ns: Option<&str>) -> Option<Located> {
        let (entry, rest) = match ns {
            Some(ns) => self.by_ns(name, ns),
            None => self.by_path(name),
        }?;
        let completed = match rest {
            Some(rest) if entry.completes_library && !rest.as_str().contains('/') => {
                rest.under("library").ok()
            }
            rest => rest,
        };
        let project = Arc::clone(&entry.project);
        let name = match completed {
            Some(rest) => rest.under(&project.name).ok()?,
            None => name.clone(),
        };
        Some(Located { project, name })
    }

    /// Names of the projects that this caller may know of, sorted.
    pub fn visible(&self, caller: &Caller) -> Vec<String> {
        self.names(caller, |_| true)
    }

    /// All projects, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Project> {
        self.by_name.values().map(|entry| entry.project.as_ref())
    }

    /// Is this a value of `?ns=` that means a project?
    pub fn has_host(&self, host: &str) -> bool {
        self.by_host.contains_key(&host.to_ascii_lowercase())
    }

    /// Is there a mirror project of this name?
    pub(super) fn is_mirror(&self, project: &str) -> bool {
        let entry = self.by_name.get(project);
        entry.is_some_and(|entry| matches!(entry.project.kind, ProjectKind::Mirror { .. }))
    }

    /// The repository of a row, whole name as it is stored; also of one that the project does not let through any more.
    pub(super) fn stored(&self, name: &Name) -> Option<Repository> {
        let entry = self.by_name.get(name.first())?;
        repository(entry, &name.rest()?).ok()
    }

    /// May anybody see what this project has?
    pub(super) fn is_public(&self, project: &str) -> bool {
        let entry = self.by_name.get(project);
        entry.is_some_and(|entry| entry.project.visibility == Visibility::Public)
    }

    /// A path that begins with the project which `ns` selects loses that component once.
    fn by_ns(&self, name: &Name, ns: &str) -> Option<(&Entry, Option<Name>)> {
        let project = self.by_host.get(&ns.to_ascii_lowercase())?;
        let entry = self.by_name.get(project)?;
        let rest = if name.first() == project {
            name.rest()
        } else {
            Some(name.clone())
        };
        Some((entry, rest))
    }

    fn by_path(&self, name: &Name) -> Option<(&Entry, Option<Name>)> {
        if let Some(entry) = self.by_name.get(name.first()) {
            return Some((entry, name.rest()));
        }
        let entry = self.by_name.get(self.default.as_ref()?)?;
        // A first component that looks like a host is a registry's name that no project has, not Docker Hub's.
        let names_a_host = name.rest().is_some() && name.first().contains('.');
        (!names_a_host).then(|| (entry, Some(name.clone())))
    }

    fn unknown(&self, name: &Name, ns: Option<&str>, caller: &Caller) -> ResolveError {
        let mirrors = self.names(caller, |project| {
            matches!(project.kind, ProjectKind::Mirror { .. })
        });
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

    fn names(&self, caller: &Caller, wanted: impl Fn(&Project) -> bool) -> Vec<String> {
        let visible = self
            .iter()
            .filter(|project| caller.may_see_project(project) && wanted(project));
        let mut names: Vec<String> = visible.map(|project| project.name.clone()).collect();
        names.sort();
        names
    }
}

fn repository(entry: &Entry, rest: &Name) -> Result<Repository, ResolveError> {
    let project = entry.project.clone();
    let too_long = |error: crate::oci::name::NameError| ResolveError(error.to_string());
    let name = rest.under(&project.name).map_err(too_long)?;
    let remote_name = match &project.prefix {
        Some(prefix) => rest.under(prefix.as_str()).map_err(too_long)?,
        None => rest.clone(),
    };
    Ok(Repository {
        project,
        name,
        remote_name,
        visitor: None,
    })
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
