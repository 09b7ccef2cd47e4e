//! `$NAME` and `${NAME}` in texts of a file, as image-syncer expands them: what is not set is empty.

use std::collections::BTreeMap;

/// The environment of a run.
#[derive(Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    pub fn new(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(environment.into_iter().collect())
    }

    pub(super) fn expand(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let (name, behind) = name(after);
            match name {
                Some(name) => expanded.push_str(self.0.get(name).map_or("", String::as_str)),
                None => expanded.push('$'),
            }
            rest = behind;
        }
        expanded.push_str(rest);
        expanded
    }
}

/// The name after a dollar sign, and what comes behind it. `None`: the sign is only a sign.
fn name(after: &str) -> (Option<&str>, &str) {
    if let Some(braced) = after.strip_prefix('{') {
        return match braced.split_once('}') {
            Some((name, behind)) => (Some(name), behind),
            None => (None, after),
        };
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
    match end {
        0 => (None, after),
        end => (Some(&after[..end]), &after[end..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_by_what_they_are() {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let variables = Variables::new([set("PW", "s3cret"), set("NS", "a/b")]);
        for (text, expected) in [
            ("${PW}", "s3cret"),
            ("$PW", "s3cret"),
            ("r.io/$NS/x:$PW-1", "r.io/a/b/x:s3cret-1"),
            ("r.io/${UNSET}x", "r.io/x"),
            ("a$", "a$"),
            ("a$-b", "a$-b"),
            ("a${b", "a${b"),
            ("plain", "plain"),
        ] {
            assert_eq!(variables.expand(text), expected, "{text}");
        }
    }
}
