//! The projects of this server: a closed list that changes while it runs. Whoever needs one asks here each time; nobody
//! keeps a copy.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;

use super::{Caller, Right};
use crate::{
    config::{Project, ProjectKind, Provider, Remote, Visibility},
    oci::Name,
};

/// The projects as they are now; clones are one list.
#[derive(Clone)]
pub struct Projects(Arc<ArcSwap<ProjectSet>>);

/// All projects at one moment.
pub struct ProjectSet {
    by_name: BTreeMap<String, Arc<Project>>,
    /// Value of `?ns=` → name of a mirror project.
    by_host: HashMap<String, String>,
    /// The project that completes names which start with no project's name.
    default: Option<String>,
    /// Mirrors of Docker Hub: names of one component at their remotes are completed with `library/`.
    hubs: HashSet<String>,
    /// Repositories with a visibility of their own.
    visibilities: HashMap<Name, Visibility>,
    /// Projects that have a public repository, whatever they are themselves.
    partly_public: HashSet<String>,
    needs_login: bool,
    asks_remotes: bool,
}

impl Projects {
    pub fn new(set: ProjectSet) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(set)))
    }

    /// All projects at this moment: what belongs to one answer is asked of one set.
    pub fn now(&self) -> Arc<ProjectSet> {
        self.0.load_full()
    }

    /// From now on there are these.
    pub fn replace(&self, set: ProjectSet) {
        self.0.store(Arc::new(set));
    }
}

impl ProjectSet {
    pub fn new(projects: Vec<Project>, remotes: &[Remote]) -> Self {
        let is_hub = |project: &&Project| match &project.kind {
            ProjectKind::Mirror { remote } => remotes
                .iter()
                .any(|known| known.name == *remote && known.provider == Provider::DockerHub),
            ProjectKind::Hosted => false,
        };
        let hubs = projects.iter().filter(is_hub);
        let hubs = hubs.map(|project| project.name.clone()).collect();
        Self::with_hubs(projects, hubs)
    }

    /// As `new`, with the mirrors of Docker Hub already known.
    pub fn with_hubs(projects: Vec<Project>, hubs: HashSet<String>) -> Self {
        let default = projects.iter().find(|project| project.default);
        let default = default.map(|project| project.name.clone());
        let of_hosts = |project: &Project| {
            let name = project.name.clone();
            let hosts = project.hosts.clone().into_iter();
            hosts.map(move |host| (host, name.clone()))
        };
        let by_host = projects.iter().filter(|project| project.is_mirror());
        let by_host = by_host.flat_map(of_hosts).collect();
        let is_closed =
            |project: &Project| !project.is_mirror() || project.visibility != Visibility::Public;
        let needs_login = projects.iter().any(is_closed);
        let is_remote = |project: &Project| project.visibility == Visibility::Remote;
        let asks_remotes = projects.iter().any(is_remote);
        let named = |project: Project| (project.name.clone(), Arc::new(project));
        Self {
            by_name: projects.into_iter().map(named).collect(),
            by_host,
            default,
            hubs,
            visibilities: HashMap::new(),
            partly_public: HashSet::new(),
            needs_login,
            asks_remotes,
        }
    }

    /// Some repositories have a visibility of their own.
    pub fn with_visibilities(self, visibilities: HashMap<Name, Visibility>) -> Self {
        let public = visibilities
            .iter()
            .filter(|(_, visibility)| **visibility == Visibility::Public);
        Self {
            partly_public: public.map(|(name, _)| name.first().to_owned()).collect(),
            visibilities,
            ..self
        }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Project>> {
        self.by_name.get(name)
    }

    /// All projects, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Project>> {
        self.by_name.values()
    }

    /// The mirror project that a value of `?ns=` means.
    pub fn of_host(&self, host: &str) -> Option<&Arc<Project>> {
        self.get(self.by_host.get(&host.to_ascii_lowercase())?)
    }

    /// The project that completes names which start with no project's name.
    pub fn default_project(&self) -> Option<&Arc<Project>> {
        self.get(self.default.as_ref()?)
    }

    /// Are names of one component at this project's remote completed with `library/`?
    pub fn completes_library(&self, project: &str) -> bool {
        self.hubs.contains(project)
    }

    pub fn is_mirror(&self, project: &str) -> bool {
        self.get(project).is_some_and(|project| project.is_mirror())
    }

    /// Is there a project that somebody may push to, or that not everybody may see?
    pub fn needs_login(&self) -> bool {
        self.needs_login
    }

    /// Is there a project whose remote decides who may pull?
    pub fn asks_remotes(&self) -> bool {
        self.asks_remotes
    }

    /// Who may pull from this repository of the project.
    pub fn visibility_of(&self, project: &Project, name: &Name) -> Visibility {
        let own = self.visibilities.get(name).copied();
        own.unwrap_or(project.visibility)
    }

    /// Names of the projects whose content is pushed, and kept.
    pub fn hosted(&self) -> impl Iterator<Item = &str> {
        let hosted = self.iter().filter(|project| !project.is_mirror());
        hosted.map(|project| project.name.as_str())
    }

    /// Names of the projects in which this caller may know of something, sorted.
    pub fn visible(&self, caller: &Caller) -> Vec<String> {
        let is_visible = |project: &&Arc<Project>| {
            caller.may_see_project(project) || self.partly_public.contains(&project.name)
        };
        let visible = self.iter().filter(is_visible);
        visible.map(|project| project.name.clone()).collect()
    }

    /// May this caller pull from this repository of a project?
    pub fn may_pull(&self, caller: &Caller, name: &Name) -> bool {
        self.get(name.first()).is_some_and(|project| {
            caller.may_at(Right::Pull, self.visibility_of(project, name), name)
        })
    }
}
