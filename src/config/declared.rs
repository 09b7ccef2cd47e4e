//! Remotes and projects: those that the file declares, those that are kept as rows, and the built-in ones, all read by the
//! same rules. What the file declares cannot be changed by a row.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use serde_json::{Map, Value as Json};

use super::{
    Config, ConfigError, Project, ProjectKind, Provider, Remote, Secret, Visibility, builtin,
    error::Problem,
    load::load,
    project,
    remote::Remotes,
    section::{Context, Section},
    tree::{self, Node, Origin, Table, Value},
    value::boolean,
};

/// The first component of the official images at Docker Hub.
const LIBRARY: &str = "library";
const BANDWIDTH: &str = "bandwidth";

/// What the file and the environment say of remotes and projects; cheap to clone.
#[derive(Clone, Default)]
pub struct Declared(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The keys `builtin`, `remote` and `project` of the root.
    table: ArcSwap<Table>,
    file: Option<PathBuf>,
    folder: PathBuf,
    environment: BTreeMap<String, String>,
    default_visibility: Visibility,
}

/// Remotes and projects that are kept as rows.
#[derive(Default)]
pub struct Rows {
    pub remotes: Vec<Row>,
    pub projects: Vec<Row>,
}

/// A remote or a project that is kept as a row.
pub struct Row {
    name: String,
    table: Table,
    is_closed: bool,
}

/// All remotes and projects.
#[derive(Debug)]
pub struct Registries {
    pub remotes: Vec<Remote>,
    pub projects: Vec<Project>,
    /// Rows that cannot be used.
    pub refused: Vec<Refused>,
}

/// A row that cannot be used, because of what it says or of what else there is.
#[derive(Debug)]
pub struct Refused {
    pub name: String,
    /// Its `key` is the name of the member.
    pub error: ConfigError,
}

impl Declared {
    pub(super) fn new(mut table: Table, context: Context, default_visibility: Visibility) -> Self {
        table.retain(|key, _| ["builtin", "remote", "project"].contains(&key.as_str()));
        Self(Arc::new(Inner {
            table: ArcSwap::from_pointee(table),
            file: context.file,
            folder: context.folder,
            environment: context.environment,
            default_visibility,
        }))
    }

    /// All remotes and projects there are with these rows. Of two rows that want the same the first one has it.
    ///
    /// # Errors
    /// What the file says cannot be read any more: a file that it names is gone.
    pub fn with(&self, rows: &Rows) -> Result<Registries, ConfigError> {
        let inner = &self.0;
        let context = Context {
            file: inner.file.clone(),
            folder: inner.folder.clone(),
            environment: inner.environment.clone(),
        };
        let table = inner.table.load_full();
        let mut root = Section::root(&context, &table);
        read(&mut root, inner.default_visibility, rows)
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Reads the file again, with the environment of the first time.
    pub fn read_again(&self) -> Result<Config, ConfigError> {
        load(self.file(), self.0.environment.clone())
    }

    /// Takes over what a newer reading says of the bandwidths of remotes that were declared before, and nothing else.
    pub fn follow_bandwidths(&self, newer: &Self) {
        let newer = newer.0.table.load();
        let mut table = Table::clone(&self.0.table.load());
        let Some(Value::List(remotes)) = table.get_mut("remote").map(|node| &mut node.value) else {
            return;
        };
        for remote in remotes {
            let Value::Table(remote) = &mut remote.value else {
                continue;
            };
            let said = name_of(remote).and_then(|name| named(&newer, "remote", name));
            let Some(said) = said else {
                continue;
            };
            match said.get(BANDWIDTH) {
                Some(bandwidth) => drop(remote.insert(BANDWIDTH.to_owned(), bandwidth.clone())),
                None => drop(remote.remove(BANDWIDTH)),
            }
        }
        self.0.table.store(Arc::new(table));
    }

    /// Is the remote of this name in the file?
    pub fn has_remote(&self, name: &str) -> bool {
        self.has("remote", name)
    }

    /// Is the project of this name in the file?
    pub fn has_project(&self, name: &str) -> bool {
        self.has("project", name)
    }

    /// Is there a remote and a mirror project of this name unless the file or a row says otherwise?
    pub fn has_builtin(&self, name: &str) -> bool {
        let table = self.0.table.load();
        let is_off = table.get("builtin").map(|node| &node.value);
        !matches!(is_off, Some(Value::Boolean(false))) && builtin::named(name).is_some()
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        named(&self.0.table.load(), kind, name).is_some()
    }
}

/// What is declared of this kind under this name.
fn named<'t>(table: &'t Table, kind: &str, name: &str) -> Option<&'t Table> {
    let Value::List(nodes) = &table.get(kind)?.value else {
        return None;
    };
    let mut tables = nodes.iter().filter_map(|node| match &node.value {
        Value::Table(table) => Some(table),
        _ => None,
    });
    tables.find(|table| name_of(table) == Some(name))
}

fn name_of(table: &Table) -> Option<&str> {
    match &table.get("name")?.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}

impl fmt::Debug for Declared {
    /// Environment and tables hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Declared")
    }
}

impl Row {
    /// `members` are those of the object in the API, with the names of the configuration; the secrets are kept apart.
    pub fn new(name: &str, members: &Map<String, Json>, secrets: BTreeMap<String, Secret>) -> Self {
        let mut table = tree::of_json(members);
        let text = |text: &str| Node {
            origin: Origin::Row,
            value: Value::Text(text.to_owned()),
        };
        for (key, secret) in secrets {
            table.insert(key, text(secret.expose()));
        }
        table.insert("name".to_owned(), text(name));
        Self {
            name: name.to_owned(),
            table,
            is_closed: false,
        }
    }

    /// Of a remote: its mirrors are no more public than those of one with credentials.
    pub fn closed(self, is_closed: bool) -> Self {
        Self { is_closed, ..self }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn refused(&self, error: ConfigError) -> Refused {
        Refused {
            name: self.name.clone(),
            error,
        }
    }
}

/// Reads the keys `builtin`, `remote` and `project` of the root, and the rows.
pub(super) fn read(
    root: &mut Section<'_>,
    default_visibility: Visibility,
    rows: &Rows,
) -> Result<Registries, ConfigError> {
    let with_builtin = root.take("builtin", boolean)?.unwrap_or(true);
    let mut refused = Vec::new();
    let remotes = Remotes::read(root, &rows.remotes, with_builtin, &mut refused)?;
    let settings = project::Settings {
        remotes: &remotes,
        default_visibility,
        with_builtin,
    };
    let projects = project::read_all(root, &settings, &rows.projects, &mut refused)?;
    if let Some(hidden) = library_hidden(&projects, &remotes)
        && !rows.projects.iter().any(|row| row.name == hidden.name)
    {
        let text = format!(
            "the hosted project `{}` hides repositories of the default project, Docker Hub's",
            hidden.name
        );
        let problem = Problem::new(text).hint("if that is meant, set `hide_default = true` there");
        return Err(root.error("project", problem));
    }
    Ok(Registries {
        remotes: remotes.list,
        projects,
        refused,
    })
}

/// A hosted project that stands where Docker Hub keeps its official images, and does not say that this is meant.
fn library_hidden<'p>(projects: &'p [Project], remotes: &Remotes) -> Option<&'p Project> {
    let default = projects.iter().find(|project| project.default)?;
    let ProjectKind::Mirror { remote } = &default.kind else {
        return None;
    };
    if remotes.named(remote)?.provider != Provider::DockerHub {
        return None;
    }
    let is_it = |project: &&Project| {
        project.name == LIBRARY && !project.is_mirror() && !project.hide_default
    };
    projects.iter().find(is_it)
}
