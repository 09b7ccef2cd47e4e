//! One table of the configuration while it is read: hands out its values by key, knows which keys there are, and tells
//! every mistake with key and place.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    ConfigError, Secret,
    error::Problem,
    tree::{Node, Origin, Table, Value},
    value::{self, Read},
};

/// What all sections share while one configuration is read.
pub(super) struct Context {
    pub(super) file: Option<PathBuf>,
    /// Relative paths start here.
    pub(super) folder: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
}

static NO_KEYS: Table = Table::new();

/// A table under its full name.
pub(super) struct Section<'c> {
    context: &'c Context,
    /// Such as `project[1].freshness[0]`; empty for the root.
    name: String,
    origin: Option<&'c Origin>,
    table: &'c Table,
    known: Vec<&'static str>,
}

impl<'c> Section<'c> {
    pub(super) fn root(context: &'c Context, table: &'c Table) -> Self {
        Self {
            context,
            name: String::new(),
            origin: None,
            table,
            known: Vec::new(),
        }
    }

    /// A table that is kept as a row, beside those of the file.
    pub(super) fn of_row<'r>(&self, table: &'r Table) -> Section<'r>
    where
        'c: 'r,
    {
        Section {
            context: self.context,
            name: String::new(),
            origin: Some(&Origin::Row),
            table,
            known: Vec::new(),
        }
    }

    /// The value of a key, if it is set.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Read<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.known.push(key);
        let node = self.table.get(key);
        node.map(|node| read(node).map_err(|problem| self.error(key, problem)))
            .transpose()
    }

    /// The values of a key that holds a list.
    pub(super) fn take_list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Node) -> Read<T>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(nodes) = self.list(key)? else {
            return Ok(None);
        };
        let read = |(index, node): (usize, &Node)| {
            read(node).map_err(|problem| {
                self.error_at(&format!("{key}[{index}]"), Some(&node.origin), problem)
            })
        };
        nodes
            .iter()
            .enumerate()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn list(&mut self, key: &'static str) -> Result<Option<&'c [Node]>, ConfigError> {
        self.known.push(key);
        match self.table.get(key).map(|node| &node.value) {
            None => Ok(None),
            Some(Value::List(nodes)) => Ok(Some(nodes)),
            Some(_) => Err(self.error(key, Problem::new("expected a list such as [\"a\", \"b\"]"))),
        }
    }

    /// A table inside; an empty one when it is not there.
    pub(super) fn table(&mut self, key: &'static str) -> Result<Section<'c>, ConfigError> {
        self.known.push(key);
        let (origin, table) = match self.table.get(key) {
            None => (None, &NO_KEYS),
            Some(Node {
                origin,
                value: Value::Table(table),
            }) => (Some(origin), table),
            Some(_) => {
                return Err(self.error(key, Problem::new(format!("expected a table `[{key}]`"))));
            }
        };
        Ok(Section {
            context: self.context,
            name: self.full_name(key),
            origin,
            table,
            known: Vec::new(),
        })
    }

    /// The tables `[[key]]`.
    pub(super) fn tables(&mut self, key: &'static str) -> Result<Vec<Section<'c>>, ConfigError> {
        let name = self.full_name(key);
        let wrong = || Problem::new(format!("expected tables `[[{name}]]`"));
        self.known.push(key);
        let nodes = match self.table.get(key).map(|node| &node.value) {
            None => return Ok(Vec::new()),
            Some(Value::List(nodes)) => nodes,
            Some(_) => return Err(self.error(key, wrong())),
        };
        let section = |(index, node): (usize, &'c Node)| match &node.value {
            Value::Table(table) => Ok(Section {
                context: self.context,
                name: format!("{name}[{index}]"),
                origin: Some(&node.origin),
                table,
                known: Vec::new(),
            }),
            _ => Err(self.error(key, wrong())),
        };
        nodes.iter().enumerate().map(section).collect()
    }

    /// A path, relative to the file's folder.
    pub(super) fn path(&mut self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        let folder = &self.context.folder;
        self.take(key, |node| value::text(node).map(|path| folder.join(path)))
    }

    /// The path of a file that is there and can be read.
    pub(super) fn file(&mut self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        let folder = &self.context.folder;
        self.take(key, |node| {
            let path = folder.join(value::text(node)?);
            readable(&path)?;
            Ok(path)
        })
    }

    /// A secret: a value, `{env = "NAME"}` or `{file = "PATH"}`.
    pub(super) fn secret(&mut self, key: &'static str) -> Result<Option<Secret>, ConfigError> {
        let context = self.context;
        self.take(key, |node| {
            super::secret::read(node, &context.folder, &context.environment)
        })
    }

    /// Is the key set?
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Is the section in the file or the environment at all?
    pub(super) fn is_set(&self) -> bool {
        self.origin.is_some()
    }

    /// The full name of a key, such as `remote[0].urls`.
    pub(super) fn full_name(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// The process's variables.
    pub(super) fn environment(&self) -> &'c BTreeMap<String, String> {
        &self.context.environment
    }

    pub(super) fn folder(&self) -> &'c Path {
        &self.context.folder
    }

    /// A mistake in the value of a key, or, when the key is not set, in its section.
    pub(super) fn error(&self, key: &str, problem: Problem) -> ConfigError {
        let origin = self.table.get(key).map(|node| &node.origin).or(self.origin);
        self.error_at(key, origin, problem)
    }

    fn error_at(&self, key: &str, origin: Option<&Origin>, problem: Problem) -> ConfigError {
        let (file, line, key) = match origin {
            Some(Origin::Environment { variable, .. }) => (None, None, variable.clone()),
            Some(Origin::File { line }) => {
                (self.context.file.clone(), Some(*line), self.full_name(key))
            }
            Some(Origin::Row) => (None, None, self.full_name(key)),
            None => (self.context.file.clone(), None, self.full_name(key)),
        };
        ConfigError {
            file,
            line,
            key,
            problem: problem.text,
            hint: problem.hint,
        }
    }

    /// To be called when every key has been asked for: refuses all others.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let line = |node: &Node| match node.origin {
            Origin::File { line } => line,
            Origin::Environment { .. } | Origin::Row => 0,
        };
        let unknown = self
            .table
            .iter()
            .filter(|(key, _)| !self.known.contains(&key.as_str()));
        let Some((key, _)) = unknown.min_by_key(|(_, node)| line(node)) else {
            return Ok(());
        };
        let mut allowed = self.known.clone();
        allowed.sort_unstable();
        let problem = Problem::new(format!("no such key; there are {}", allowed.join(", ")));
        Err(self.error(
            key,
            match value::nearest(key, allowed.into_iter()) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem,
            },
        ))
    }
}

/// Opening is the only sure way to know.
pub(super) fn readable(path: &Path) -> Read<()> {
    let wrong =
        |problem: String| Problem::new(format!("cannot read `{}`: {problem}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let kind = file.metadata().map_err(|error| wrong(error.to_string()))?;
    if kind.is_dir() {
        Err(wrong("it is a folder".to_owned()))
    } else {
        Ok(())
    }
}
