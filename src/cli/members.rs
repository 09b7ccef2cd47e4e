//! Members of the API's objects on a command line: `KEY=VALUE`.

use std::io::{self, Read};

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::config::Secret;

/// More is no password.
const MAX_PASSWORD: u64 = 4096;

/// JSON where it is some, else a text.
pub(super) fn member(text: &str) -> Result<(String, Value), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            Ok((key.to_owned(), value))
        }
        _ => Err("expected KEY=VALUE"),
    }
}

/// Lays members over an object; those with dots in their keys are members of members. `null` takes one away.
pub(super) fn overlay(object: &mut Map<String, Value>, members: &[(String, Value)]) {
    for (key, value) in members {
        set(object, key, value);
    }
}

fn set(object: &mut Map<String, Value>, key: &str, value: &Value) {
    if let Some((first, rest)) = key.split_once('.') {
        let inner = object.entry(first).or_insert_with(|| json!({}));
        if !inner.is_object() {
            *inner = json!({});
        }
        if let Value::Object(inner) = inner {
            set(inner, rest, value);
        }
    } else if value.is_null() {
        object.remove(key);
    } else {
        object.insert(key.to_owned(), value.clone());
    }
}

/// What standard input holds, without the end of its line.
pub(super) fn password() -> anyhow::Result<Secret> {
    let mut text = String::new();
    let mut input = io::stdin().lock().take(MAX_PASSWORD);
    let read = input.read_to_string(&mut text);
    read.context("cannot read the password from standard input")?;
    let password = text.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(!password.is_empty(), "standard input holds no password");
    Ok(Secret::new(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_json_where_it_is_some_and_else_a_text() {
        for (text, value) in [
            ("quota=10GiB", json!("10GiB")),
            ("default=true", json!(true)),
            ("allow=[\"a\"]", json!(["a"])),
            ("prefix=", json!("")),
            ("x=a=b", json!("a=b")),
        ] {
            assert_eq!(member(text).unwrap().1, value, "{text}");
        }
        assert!(member("quota").is_err() && member("=1").is_err());
    }

    #[test]
    fn a_key_with_dots_is_a_member_of_a_member() {
        let Value::Object(mut rule) = json!({"source": {"project": "a", "filters": []}, "x": 1})
        else {
            panic!("no object");
        };
        let members = ["source.project=b", "trigger.type=cron", "x=null"];
        overlay(&mut rule, &members.map(|text| member(text).unwrap()));
        let expected = json!({
            "source": {"project": "b", "filters": []}, "trigger": {"type": "cron"},
        });
        assert_eq!(Value::Object(rule), expected);
    }
}
