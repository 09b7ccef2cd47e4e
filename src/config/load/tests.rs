mod mistakes;

use std::{fs, path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::config::{
    Challenge, FreshnessMode, LogFormat, Project, ProjectKind, Provider, StaleIfError, Visibility,
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/entrepot.toml");

/// A folder with one configuration file.
fn folder(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entrepot.toml");
    fs::write(&file, text).unwrap();
    (folder, file)
}

fn variables<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn loaded(text: &str) -> Config {
    let (_folder, file) = folder(text);
    load(Some(&file), []).unwrap_or_else(|error| panic!("{error}"))
}

fn defaults() -> Config {
    load(None, []).unwrap()
}

fn project<'c>(config: &'c Config, name: &str) -> &'c Project {
    config
        .projects
        .iter()
        .find(|project| project.name == name)
        .unwrap()
}

#[test]
fn without_a_file_the_public_registries_are_mirrored() {
    let config = defaults();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.storage.path, Path::new("entrepot-data"));
    assert_eq!(config.database.to_string(), "entrepot-data/entrepot.db");
    assert_eq!(config.access.challenge, Challenge::Auto);
    assert_eq!(
        (config.log.format, config.log.level.as_str()),
        (LogFormat::Text, "info")
    );
    assert!(!config.offline);
    let names: Vec<&str> = config
        .projects
        .iter()
        .map(|project| project.name.as_str())
        .collect();
    let expected = [
        "docker.io",
        "ghcr.io",
        "quay.io",
        "registry.k8s.io",
        "gcr.io",
        "mcr.microsoft.com",
        "public.ecr.aws",
    ];
    assert_eq!(names, expected);
    assert!(
        config
            .projects
            .iter()
            .all(|project| project.visibility == Visibility::Public)
    );
    let defaults: Vec<&str> = config
        .projects
        .iter()
        .filter(|p| p.default)
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!(defaults, ["docker.io"]);
    let hub = &config.remotes[0];
    assert_eq!(
        (hub.provider, hub.urls[0].as_str()),
        (Provider::DockerHub, "https://registry-1.docker.io/")
    );
}

#[test]
fn the_example_file_holds_the_defaults() {
    let mut example = load(Some(Path::new(EXAMPLE)), []).unwrap_or_else(|error| panic!("{error}"));
    let mut expected = defaults();
    // The file spells out a freshness rule that the defaults leave to the last, unsaid one; paths start at its folder.
    example.projects[0].freshness.remove(0);
    example.storage.path = expected.storage.path.clone();
    example.database.clone_from(&expected.database);
    let by_name = |config: &mut Config| config.projects.sort_by(|a, b| a.name.cmp(&b.name));
    by_name(&mut example);
    by_name(&mut expected);
    assert_eq!(format!("{example:#?}"), format!("{expected:#?}"));
}

/// Takes the comment sign from every line that holds a commented key or table.
fn uncommented(text: &str) -> String {
    let is_key = |line: &str| {
        let name = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with('[') || is_key(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_commented_key_of_the_example_file_is_valid() {
    let (folder, file) = folder(&uncommented(&fs::read_to_string(EXAMPLE).unwrap()));
    for name in [
        "server.crt",
        "server.key",
        "ca.pem",
        "client.pem",
        "client.key",
        "users.htpasswd",
        "docker-credential-gcloud",
    ] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let environment = variables([
        ("HUB_TOKEN", "a"),
        ("QUAY_TOKEN", "f"),
        ("HOME", "/home/me"),
        ("PATH", folder.path().to_str().unwrap()),
        ("ENTREPOT_CLUSTER_SECRET", "0123456789abcdef"),
        ("ENTREPOT__DATABASE__URL", "postgres://host/db"),
        ("ENTREPOT_SECRETS_KEY", "0123456789abcdef"),
        ("ENTREPOT_ADMIN_PASSWORD", "d"),
        ("ENTREPOT_OIDC_SECRET", "e"),
        ("S3_ACCESS_KEY", "f"),
        ("S3_SECRET_KEY", "g"),
    ]);
    let config = load(Some(&file), environment).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.access.admin_password.unwrap().expose(), "d");
    assert_eq!(config.cluster.unwrap().secret.expose(), "0123456789abcdef");
    assert_eq!(config.storage.objects.unwrap().options.len(), 5);
    assert_eq!(config.remotes[0].max_connections, Some(32));
    assert_eq!(config.projects[1].kind, ProjectKind::Hosted);
    assert_eq!(config.remotes[0].max_concurrent, Some(8));
    assert!(config.remotes[0].allowed_hours.is_some());
}

#[test]
fn a_remote_of_a_built_in_name_needs_to_say_only_what_differs() {
    let config = loaded("[[remote]]\nname = \"docker.io\"\nusername = \"u\"\npassword = \"p\"\n");
    let hub = config
        .remotes
        .iter()
        .find(|remote| remote.name == "docker.io")
        .unwrap();
    assert_eq!(
        (hub.provider, hub.urls[0].host_str()),
        (Provider::DockerHub, Some("registry-1.docker.io"))
    );
    assert_eq!(config.remotes.len(), 7);
    assert_eq!(
        project(&config, "docker.io").visibility,
        Visibility::Private
    );
    assert_eq!(project(&config, "ghcr.io").visibility, Visibility::Public);
}

#[test]
fn credentials_of_every_kind_close_a_mirror_that_does_not_say_it_is_public() {
    for credentials in [
        "token = \"t\"",
        "docker_config = true",
        "provider = \"google\"\ncredentials = \"environment\"",
    ] {
        let (_folder, file) = folder(&format!("[[remote]]\nname = \"quay.io\"\n{credentials}\n"));
        let config = load(Some(&file), variables([("HOME", "/home/me")])).unwrap();
        assert_eq!(
            project(&config, "quay.io").visibility,
            Visibility::Private,
            "{credentials}"
        );
    }
    let open = "[[remote]]\nname = \"quay.io\"\nusername = \"u\"\npassword = \"p\"\n[[project]]\nname = \"quay.io\"\nvisibility = \"public\"\n";
    assert_eq!(
        project(&loaded(open), "quay.io").visibility,
        Visibility::Public
    );
}

#[test]
fn a_project_that_replaces_docker_io_stays_the_default_with_its_hosts() {
    let config = loaded("[[project]]\nname = \"docker.io\"\nallow = [\"library/**\"]\n");
    let hub = project(&config, "docker.io");
    assert!(hub.default && hub.hosts.len() == 3);
    assert!(hub.admits("library/nginx") && !hub.admits("evil/nginx"));
    let config = loaded("[[project]]\nname = \"docker.io\"\ndefault = false\nhosts = []\n");
    assert!(config.projects.iter().all(|project| !project.default));
    assert!(project(&config, "docker.io").hosts.is_empty());
}

#[test]
fn a_claim_in_so_many_words_beats_a_built_in_one() {
    let config = loaded(
        "[[project]]\nname = \"hub\"\nremote = \"docker.io\"\nhosts = [\"Docker.IO\"]\ndefault = true\n",
    );
    assert!(project(&config, "hub").default && !project(&config, "docker.io").default);
    assert_eq!(project(&config, "hub").hosts, ["docker.io"]);
    assert_eq!(
        project(&config, "docker.io").hosts,
        ["index.docker.io", "registry-1.docker.io"]
    );
}

#[test]
fn without_the_built_in_ones_only_what_is_named_is_left() {
    let config = loaded(
        "builtin = false\n[[remote]]\nname = \"quay.io\"\n[[project]]\nname = \"quay.io\"\n",
    );
    assert_eq!((config.remotes.len(), config.projects.len()), (1, 1));
    assert!(!config.projects[0].default);
    let none = loaded("builtin = false\n");
    assert!(none.remotes.is_empty() && none.projects.is_empty());
}

#[test]
fn the_first_matching_freshness_rule_decides_and_the_last_one_takes_all() {
    let config = loaded(
        "[[project]]\nname = \"docker.io\"\n\
         [[project.freshness]]\ntags = \"/^v[0-9.]+$/\"\nmode = \"immutable\"\n\
         [[project.freshness]]\ntags = \"edge*\"\nmode = \"always\"\nstale_if_error = \"1h\"\n",
    );
    let rule = |tag: &str| {
        project(&config, "docker.io")
            .freshness_of(&tag.parse().unwrap())
            .clone()
    };
    assert_eq!(rule("v1.2").mode, FreshnessMode::Immutable);
    assert_eq!(
        rule("edge-1").stale_if_error,
        StaleIfError::For(Duration::from_secs(3600))
    );
    let rest = rule("latest");
    assert_eq!(
        (rest.mode, rest.ttl),
        (FreshnessMode::Ttl, Duration::from_secs(60))
    );
}

#[test]
fn variables_beat_the_file() {
    let (_folder, file) = folder("[server]\nlisten = \"127.0.0.1:1\"\n");
    let environment = variables([
        ("ENTREPOT__SERVER__LISTEN", "0.0.0.0:5000"),
        ("ENTREPOT__SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
        ("ENTREPOT__ACCESS__ADMIN_PASSWORD", "12345"),
        ("ENTREPOT__MIRROR__OFFLINE", "true"),
        ("ENTREPOT__LOG__LEVEL", "debug"),
        ("OTHER", "x"),
    ]);
    let config = load(Some(&file), environment).unwrap();
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:5000");
    assert_eq!(config.server.trusted_proxies.len(), 1);
    assert_eq!(config.access.admin_password.unwrap().expose(), "12345");
    assert!(config.offline);
    assert_eq!(config.log.level, "debug");
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let (folder, file) =
        folder("[storage]\npath = \"data\"\n[access]\nadmin_password = { file = \"password\" }\n");
    fs::write(folder.path().join("password"), "open sesame\r\n").unwrap();
    let config = load(Some(&file), []).unwrap();
    assert_eq!(config.storage.path, folder.path().join("data"));
    let database = folder.path().join("data/entrepot.db");
    assert_eq!(config.database.to_string(), database.display().to_string());
    assert_eq!(
        config.access.admin_password.unwrap().expose(),
        "open sesame"
    );
}

#[test]
fn secrets_are_not_printed() {
    let config = loaded("[access]\nadmin_password = \"hunter2\"\n");
    assert!(!format!("{config:?}").contains("hunter2"));
}
