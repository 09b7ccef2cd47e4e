//! Reading `[[project]]`, key by key.

use std::time::Duration;

use super::{Freshness, Project, ProjectKind, Visibility, claims::Claims, freshness, retention};
use crate::{
    config::{
        ConfigError,
        builtin::{self, BuiltIn},
        declared::{Refused, Row},
        error::Problem,
        remote::Remotes,
        section::Section,
        tree::Node,
        value::{self, Read, boolean, choice, duration, pattern, size_or_unlimited, text},
    },
    oci::{Name, name::is_component},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mirror,
    Hosted,
}

const KINDS: &[(&str, Kind)] = &[("mirror", Kind::Mirror), ("hosted", Kind::Hosted)];
const VISIBILITIES: &[(&str, Visibility)] = &[
    ("public", Visibility::Public),
    ("private", Visibility::Private),
    ("remote", Visibility::Remote),
];
/// Keys that mean something for one kind of project only.
const OF_MIRRORS: [&str; 10] = [
    "remote",
    "hosts",
    "prefix",
    "max_bytes",
    "keep_deleted",
    "offline",
    "negative_ttl",
    "verdict_ttl",
    "verdict_if_error",
    "freshness",
];
const OF_HOSTED: [&str; 7] = [
    "quota",
    "retention",
    "immutable_tags",
    "sparse_index",
    "sparse_image",
    "auto_create_repositories",
    "hide_default",
];

const DEFAULT_NEGATIVE_TTL: Duration = Duration::from_secs(10);
const DEFAULT_VERDICT_TTL: Duration = Duration::from_mins(5);
const DEFAULT_VERDICT_IF_ERROR: Duration = Duration::from_hours(1);

/// Reads all projects of the file, then those of rows that can be used, adds the built-in ones, and settles hosts and the default among them.
pub(in crate::config) fn read_all(
    root: &mut Section<'_>,
    settings: &Settings<'_>,
    rows: &[Row],
    refused: &mut Vec<Refused>,
) -> Result<Vec<Project>, ConfigError> {
    let mut reader = Reader {
        remotes: settings.remotes,
        default_visibility: settings.default_visibility,
        projects: Vec::new(),
        claims: Claims::default(),
    };
    for section in root.tables("project")? {
        reader.read(section)?;
    }
    for row in rows {
        if let Err(error) = reader.read(root.of_row(row.table())) {
            reader.claims.forget(row.name());
            refused.push(row.refused(error));
        }
    }
    if settings.with_builtin {
        reader.add_builtin();
    }
    reader.claims.settle(&mut reader.projects);
    Ok(reader.projects)
}

/// What all projects are read with.
pub(in crate::config) struct Settings<'s> {
    pub(in crate::config) remotes: &'s Remotes,
    pub(in crate::config) default_visibility: Visibility,
    pub(in crate::config) with_builtin: bool,
}

struct Reader<'r> {
    remotes: &'r Remotes,
    default_visibility: Visibility,
    projects: Vec<Project>,
    claims: Claims,
}

impl Reader<'_> {
    fn read(&mut self, mut section: Section<'_>) -> Result<(), ConfigError> {
        let missing = |section: &Section<'_>| {
            section.error("name", Problem::new("missing; every project has a name"))
        };
        let name = section
            .take("name", project_name)?
            .ok_or_else(|| missing(&section))?;
        if self.projects.iter().any(|project| project.name == name) {
            return Err(section.error(
                "name",
                Problem::new(format!("another project is called `{name}` already")),
            ));
        }
        let kind = section.take("kind", choice(KINDS))?.unwrap_or(Kind::Mirror);
        refuse_foreign_keys(&section, kind)?;
        let kind = match kind {
            Kind::Hosted => ProjectKind::Hosted,
            Kind::Mirror => ProjectKind::Mirror {
                remote: self.read_remote(&mut section, &name)?,
            },
        };
        let mut project = Project::with_defaults(name, kind);
        self.claims.read_hosts(&mut section, &project.name)?;
        self.claims.read_default(&mut section, &project.name)?;
        project.visibility = self.read_visibility(&mut section, &project)?;
        project.read_rules(&mut section)?;
        project.freshness = freshness::read_all(&mut section)?;
        project.quota = section.take("quota", size_or_unlimited)?.flatten();
        project.retention = retention::read_all(&mut section)?;
        section.finish()?;
        self.projects.push(project);
        Ok(())
    }

    /// The remote of a mirror: the one of the project's own name unless said otherwise.
    fn read_remote(&self, section: &mut Section<'_>, project: &str) -> Result<String, ConfigError> {
        let given = section.take("remote", text)?;
        let name = given.as_deref().unwrap_or(project);
        if self.remotes.named(name).is_some() {
            return Ok(name.to_owned());
        }
        if given.is_none() {
            return Err(section.error(
                "remote",
                Problem::new(format!(
                    "missing; a mirror project is filled from a remote, and none is called `{name}`"
                )),
            ));
        }
        let names: Vec<&str> = self
            .remotes
            .list
            .iter()
            .map(|remote| remote.name.as_str())
            .collect();
        let problem = Problem::new(format!(
            "no remote is called `{name}`; there are {}",
            names.join(", ")
        ));
        Err(section.error(
            "remote",
            match value::nearest(name, names.into_iter()) {
                Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
                None => problem,
            },
        ))
    }

    fn read_visibility(
        &self,
        section: &mut Section<'_>,
        project: &Project,
    ) -> Result<Visibility, ConfigError> {
        Ok(match section.take("visibility", choice(VISIBILITIES))? {
            None => self.default_visibility_of(project),
            Some(Visibility::Remote) if project.kind == ProjectKind::Hosted => {
                return Err(section.error(
                    "visibility",
                    Problem::new("a hosted project has no remote that could decide"),
                ));
            }
            Some(visibility) => visibility,
        })
    }

    fn default_visibility_of(&self, project: &Project) -> Visibility {
        match &project.kind {
            ProjectKind::Mirror { remote } if self.remotes.is_anonymous(remote) => {
                Visibility::Public
            }
            _ => self.default_visibility,
        }
    }

    fn add_builtin(&mut self) {
        for BuiltIn { name, .. } in &builtin::REGISTRIES {
            if self.projects.iter().any(|project| project.name == *name) {
                continue;
            }
            let kind = ProjectKind::Mirror {
                remote: (*name).to_owned(),
            };
            let mut project = Project::with_defaults((*name).to_owned(), kind);
            project.visibility = self.default_visibility_of(&project);
            self.projects.push(project);
        }
    }
}

impl Project {
    /// A private project of which nothing else is said.
    pub fn with_defaults(name: String, kind: ProjectKind) -> Self {
        Self {
            name,
            kind,
            hosts: Vec::new(),
            default: false,
            visibility: Visibility::Private,
            allow: Vec::new(),
            deny: Vec::new(),
            prefix: None,
            keep_deleted: false,
            negative_ttl: DEFAULT_NEGATIVE_TTL,
            verdict_ttl: DEFAULT_VERDICT_TTL,
            verdict_if_error: DEFAULT_VERDICT_IF_ERROR,
            offline: false,
            max_bytes: None,
            auto_create_repositories: true,
            hide_default: false,
            freshness: vec![Freshness::of_all_tags()],
            quota: None,
            retention: Vec::new(),
            immutable_tags: Vec::new(),
            sparse_index: true,
            sparse_image: false,
        }
    }

    fn read_rules(&mut self, section: &mut Section<'_>) -> Result<(), ConfigError> {
        self.allow = section.take_list("allow", pattern)?.unwrap_or_default();
        self.deny = section.take_list("deny", pattern)?.unwrap_or_default();
        self.prefix = section.take("prefix", prefix)?;
        self.keep_deleted = section.take("keep_deleted", boolean)?.unwrap_or(false);
        self.negative_ttl = section
            .take("negative_ttl", duration)?
            .unwrap_or(DEFAULT_NEGATIVE_TTL);
        self.verdict_ttl = section
            .take("verdict_ttl", duration)?
            .unwrap_or(DEFAULT_VERDICT_TTL);
        self.verdict_if_error = section
            .take("verdict_if_error", duration)?
            .unwrap_or(DEFAULT_VERDICT_IF_ERROR);
        self.offline = section.take("offline", boolean)?.unwrap_or(false);
        self.max_bytes = section.take("max_bytes", size_or_unlimited)?.flatten();
        let auto_create = section.take("auto_create_repositories", boolean)?;
        self.auto_create_repositories = auto_create.unwrap_or(true);
        self.hide_default = section.take("hide_default", boolean)?.unwrap_or(false);
        self.immutable_tags = section
            .take_list("immutable_tags", pattern)?
            .unwrap_or_default();
        self.sparse_index = section.take("sparse_index", boolean)?.unwrap_or(true);
        self.sparse_image = section.take("sparse_image", boolean)?.unwrap_or(false);
        Ok(())
    }
}

fn refuse_foreign_keys(section: &Section<'_>, kind: Kind) -> Result<(), ConfigError> {
    let (keys, problem) = match kind {
        Kind::Hosted => (
            &OF_MIRRORS[..],
            "means nothing for a hosted project; only a mirror has it",
        ),
        Kind::Mirror => (
            &OF_HOSTED[..],
            "means nothing for a mirror; only a hosted project has it",
        ),
    };
    match keys.iter().find(|key| section.has(key)) {
        Some(key) => Err(section.error(key, Problem::new(problem))),
        None => Ok(()),
    }
}

fn project_name(node: &Node) -> Read<String> {
    let name = text(node)?;
    if name.len() <= Name::MAX_LENGTH && is_component(&name) {
        return Ok(name);
    }
    let problem = Problem::new(format!(
        "expected one component of a repository name (a-z, 0-9, and `.`, `_`, `-` between them), found `{name}`"
    ));
    Err(if name.contains([':', '/']) {
        problem.hint("choose a plain name, and list the registry's host under `hosts`")
    } else {
        problem
    })
}

fn prefix(node: &Node) -> Read<Name> {
    let name = text(node)?;
    name.parse().map_err(|_| {
        Problem::new(format!(
            "expected a repository name such as \"team-a\", found `{name}`"
        ))
    })
}
