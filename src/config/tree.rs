//! What the file and the environment say, before anybody knows what the keys mean: values that remember where they came
//! from, so that a mistake can be told with its line or its variable.

use std::{collections::BTreeMap, path::Path};

use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// One value with its origin.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// The shapes that TOML has; numbers with a fraction and dates are used by no key.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// Something else, by its name.
    Other(&'static str),
}

pub(super) type Table = BTreeMap<String, Node>;

/// Where a value was set.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Line in the file, from 1.
    File { line: usize },
    /// The variable's name, and its text as it was.
    Environment { variable: String, raw: String },
    /// A row that was made by the API: no line and no variable.
    Row,
}

/// Every key outside `[[…]]` can be set by a variable of this prefix, its parts joined by two underscores.
const PREFIX: &str = "ENTREPOT__";

/// Reads the text of a file.
pub(super) fn parse(file: &Path, text: &str) -> Result<Table, ConfigError> {
    let document = DeTable::parse(text).map_err(|error| ConfigError {
        file: Some(file.to_owned()),
        line: error.span().map(|span| line_of(text, span.start)),
        key: String::new(),
        problem: format!("not TOML: {}", error.message().replace('\n', ", ")),
        hint: None,
    })?;
    let origin = |span: std::ops::Range<usize>| Origin::File {
        line: line_of(text, span.start),
    };
    Ok(table(document.get_ref(), &origin))
}

fn line_of(text: &str, at: usize) -> usize {
    text.char_indices()
        .take_while(|(index, _)| *index < at)
        .filter(|(_, character)| *character == '\n')
        .count()
        + 1
}

type Spans<'s> = dyn Fn(std::ops::Range<usize>) -> Origin + 's;

fn table(table: &DeTable<'_>, origin: &Spans<'_>) -> Table {
    table
        .iter()
        .map(|(key, item)| {
            let node = Node {
                origin: origin(key.span()),
                value: value(item.get_ref(), origin),
            };
            (key.get_ref().to_string(), node)
        })
        .collect()
}

fn value(item: &DeValue<'_>, origin: &Spans<'_>) -> Value {
    match item {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("a number beyond 64 bits"),
        },
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Node {
                    origin: origin(item.span()),
                    value: value(item.get_ref(), origin),
                })
                .collect(),
        ),
        DeValue::Table(entries) => Value::Table(table(entries, origin)),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    }
}

/// Reads the members of an object; what is null is as good as not there.
pub(super) fn of_json(members: &serde_json::Map<String, serde_json::Value>) -> Table {
    let given = members.iter().filter(|(_, value)| !value.is_null());
    given
        .map(|(key, value)| (key.clone(), node_of_json(value)))
        .collect()
}

fn node_of_json(given: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match given {
        Json::Null => Value::Other("null"),
        Json::Bool(boolean) => Value::Boolean(*boolean),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None if number.is_u64() => Value::Other("a number beyond 64 bits"),
            None => Value::Other("a number with a fraction"),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(node_of_json).collect()),
        Json::Object(members) => Value::Table(of_json(members)),
    };
    Node {
        origin: Origin::Row,
        value,
    }
}

/// Lays the variables over what the file says.
pub(super) fn overlay(
    root: &mut Table,
    environment: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    for (variable, raw) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let path: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
        set(root, &path, variable, raw).map_err(|problem| ConfigError {
            file: None,
            line: None,
            key: variable.clone(),
            problem: problem.to_owned(),
            hint: None,
        })?;
    }
    Ok(())
}

fn set(root: &mut Table, path: &[String], variable: &str, raw: &str) -> Result<(), &'static str> {
    let (last, parents) = path
        .split_last()
        .expect("splitting gives at least one part");
    let origin = Origin::Environment {
        variable: variable.to_owned(),
        raw: raw.to_owned(),
    };
    let mut table = root;
    for (depth, parent) in parents.iter().enumerate() {
        if depth == 0 && matches!(parent.as_str(), "remote" | "project") {
            return Err("keys of `[[remote]]` and `[[project]]` can be set in the file only");
        }
        let empty = || Node {
            origin: origin.clone(),
            value: Value::Table(Table::new()),
        };
        let node = table.entry(parent.clone()).or_insert_with(empty);
        let Value::Table(next) = &mut node.value else {
            return Err("names a key inside of a value that is no table");
        };
        table = next;
    }
    let value = scalar(raw, &origin);
    table.insert(last.clone(), Node { origin, value });
    Ok(())
}

/// A variable holds a TOML value, or else plain text. Which one is meant when both are possible (`1`) is known to the
/// reader of the key, which finds the plain text in the origin.
fn scalar(raw: &str, origin: &Origin) -> Value {
    match DeValue::parse(raw) {
        Ok(parsed) => value(parsed.get_ref(), &|_| origin.clone()),
        Err(_) => Value::Text(raw.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_remembers_its_line() {
        let root = parse(
            Path::new("x"),
            "a = 1\n\n[b]\nc = [\n  true,\n  \"t\",\n]\n",
        )
        .unwrap();
        let Value::Table(b) = &root["b"].value else {
            panic!()
        };
        let Value::List(list) = &b["c"].value else {
            panic!()
        };
        let line = |node: &Node| match node.origin {
            Origin::File { line } => line,
            Origin::Environment { .. } | Origin::Row => 0,
        };
        assert_eq!(
            (
                line(&root["a"]),
                line(&root["b"]),
                line(&b["c"]),
                line(&list[1])
            ),
            (1, 3, 4, 6)
        );
    }

    #[test]
    fn variables_are_laid_over_the_file() {
        let mut root = parse(Path::new("x"), "[server]\nlisten = \"a\"\nother = 1\n").unwrap();
        let environment = [
            ("ENTREPOT__SERVER__LISTEN", "b"),
            ("ENTREPOT__NEW__KEY", "true"),
            ("ENTREPOT_CONFIG", "x"),
        ];
        let environment = environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        overlay(&mut root, &environment).unwrap();
        let Value::Table(server) = &root["server"].value else {
            panic!()
        };
        assert!(matches!(&server["listen"].value, Value::Text(text) if text == "b"));
        assert!(matches!(server["other"].value, Value::Integer(1)));
        let Value::Table(new) = &root["new"].value else {
            panic!()
        };
        assert!(matches!(new["key"].value, Value::Boolean(true)));
        assert_eq!(root.len(), 2);
    }
}
