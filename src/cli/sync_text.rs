//! The file of what a sync has copied, which is an `images` file again.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Sources with their destinations.
pub(super) fn images(copied: &[(String, String)], as_json: bool) -> String {
    let mut grouped: Map<String, Value> = Map::new();
    for (from, to) in copied {
        let list = grouped
            .entry(from.clone())
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(to.clone().into());
        }
    }
    if as_json {
        return format!("{:#}\n", Value::Object(grouped));
    }
    let mut text = String::new();
    for (from, list) in &grouped {
        // A JSON text is a YAML text too.
        writeln!(text, "{}:", Value::from(from.as_str()))
            .expect("writing to a String does not fail");
        for to in list.as_array().into_iter().flatten() {
            writeln!(text, "- {to}").expect("writing to a String does not fail");
        }
    }
    if text.is_empty() {
        "{}\n".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_copied_can_be_copied_by_the_same_file() {
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let copied = [pair("a.io/p:1", "r.io/p:1"), pair("a.io/p:1", "s.io/p:1")];
        assert_eq!(
            images(&copied, false),
            "\"a.io/p:1\":\n- \"r.io/p:1\"\n- \"s.io/p:1\"\n"
        );
        let json: Value = serde_json::from_str(&images(&copied, true)).unwrap();
        assert_eq!(json["a.io/p:1"][1], "s.io/p:1");
        assert_eq!(images(&[], false), "{}\n");
    }
}
