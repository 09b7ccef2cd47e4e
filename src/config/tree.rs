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

/// The tables of which there are several: a variable cannot say which one it means.
const LISTS: [&[&str]; 4] = [&["remote"], &["project"], &["webhook"], &["access", "oidc"]];
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
    let is_in = |list: &&[&str]| {
        parents.len() >= list.len() && parents.iter().zip(*list).all(|(part, name)| part == name)
    };
    if LISTS.iter().any(is_in) {
        return Err(
            "keys of `[[remote]]`, `[[project]]`, `[[webhook]]` and `[[access.oidc]]` can be set in the file only",
        );
    }
    let mut table = root;
    for parent in parents {
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

    #[test]
    fn a_variable_cannot_be_about_one_of_several_tables() {
        let overlaid = |variable: &str| {
            let environment = BTreeMap::from([(variable.to_owned(), "x".to_owned())]);
            overlay(&mut Table::new(), &environment).map_err(|error| error.to_string())
        };
        for variable in [
            "ENTREPOT__REMOTE__URL",
            "ENTREPOT__PROJECT__NAME",
            "ENTREPOT__WEBHOOK__URL",
            "ENTREPOT__ACCESS__OIDC__CLIENT_ID",
        ] {
            let error = overlaid(variable).unwrap_err();
            let told = error.contains(variable) && error.contains("in the file only");
            assert!(told, "{error}");
        }
        assert_eq!(overlaid("ENTREPOT__ACCESS__ADMIN_PASSWORD"), Ok(()));
    }
}
