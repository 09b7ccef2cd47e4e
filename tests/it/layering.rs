//! Holds the `crate::…` paths in the sources against the layers of docs/ARCHITECTURE.md: a module uses lower layers
//! only, never a sibling.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The modules of each layer, lowest first.
const LAYERS: &[&[&str]] = &[
    &["oci", "config", "telemetry"],
    &["store", "meta", "client", "jobs", "access", "cluster"],
    &["transfer"],
    &[
        "mirror",
        "push",
        "replication",
        "upkeep",
        "settings",
        "sync",
        "archive",
        "notify",
        "connect",
    ],
    &["v2", "api", "console"],
    &["app"],
    &["cli"],
];

/// Siblings that may be used all the same: (who, whom). `access` and `cluster` keep their rows through `meta`;
/// a project's patterns and names in `config` are words of `oci`, and the format of the log in `telemetry` is one of `config`.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("access", "meta"),
    ("cluster", "meta"),
    ("config", "oci"),
    ("telemetry", "config"),
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// First components of every `crate::…` path in a source, those of `crate::{a::…, b}` groups too.
fn modules_used(source: &str) -> BTreeSet<String> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    code.match_indices("crate::")
        .flat_map(|(at, found)| heads(&code[at + found.len()..]))
        .collect()
}

fn heads(after: &str) -> Vec<String> {
    let Some(group) = after.strip_prefix('{') else {
        return vec![word(after)];
    };
    let mut depth = 0;
    let mut found = vec![word(group.trim_start())];
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.push(word(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect()
}

fn violation(user: &str, target: &str) -> Option<String> {
    let (from, to) = (layer_of(user)?, layer_of(target)?);
    let allowed = to < from || user == target || EXCEPTIONS.contains(&(user, target));
    (!allowed).then(|| format!("`{user}` (layer {from}) uses `{target}` (layer {to})"))
}

#[test]
fn modules_use_lower_layers_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut violations = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&root).expect("below src");
        let Some(user) = inside.iter().next().and_then(|part| part.to_str()) else {
            continue;
        };
        if user == "lib.rs" || user == "main.rs" {
            continue;
        }
        assert!(
            layer_of(user).is_some(),
            "src/{user} is in no layer: say where it belongs in this test and in the docs"
        );
        let source = fs::read_to_string(file).expect("a source is UTF-8");
        let broken = modules_used(&source)
            .into_iter()
            .filter_map(|used| violation(user, &used));
        violations.extend(broken.map(|what| format!("{}: {what}", inside.display())));
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_reader_of_paths_sees_groups_and_nested_groups() {
    let used =
        modules_used("use crate::{a::{b, c}, d, e::f};\n// crate::comment\nlet x = crate::g::h();");
    assert_eq!(used, ["a", "d", "e", "g"].map(str::to_owned).into());
}

#[test]
fn a_use_upward_or_sideways_is_a_violation() {
    assert!(violation("store", "mirror").is_some());
    assert!(violation("store", "meta").is_some());
    assert!(violation("access", "meta").is_none());
    assert!(violation("mirror", "store").is_none());
}
