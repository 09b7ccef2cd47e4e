//! Starting: configuration errors before anything happens, `config check`, and what is printed.

use std::{fs, path::Path};

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    harness::{FakeRegistry, get},
    process::{Process, command, run},
    server::Setup,
};

fn folder_with(configuration: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("entrepot.toml"), configuration).expect("a file");
    folder
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// (what is wrong, the configuration, what the message names)
const WRONG: [(&str, &str, &[&str]); 11] = [
    (
        "an unknown key",
        "[server]\nlissten = \"127.0.0.1:0\"",
        &["server.lissten", "listen", "hint:"],
    ),
    ("an unknown section", "[sever]\nlisten = \"x\"", &["sever"]),
    (
        "a bad address",
        "[server]\nlisten = \"everywhere\"",
        &["server.listen", "everywhere"],
    ),
    (
        "a bad duration",
        "[server]\nshutdown_grace = \"soon\"",
        &["server.shutdown_grace", "soon"],
    ),
    ("a bad type", "[storage]\npath = 5", &["storage.path"]),
    ("no TOML", "[server\n", &["entrepot.toml"]),
    (
        "a missing file",
        "[server]\ntls = { cert = \"none.crt\", key = \"none.key\" }",
        &["server.tls.cert", "none.crt"],
    ),
    (
        "a missing secret",
        "[[remote]]\nname = \"r\"\nurls = [\"https://r.io\"]\nusername = \"u\"\npassword = { env = \"NOT_SET\" }",
        &["password", "NOT_SET"],
    ),
    (
        "an unknown remote",
        "[[project]]\nname = \"p\"\nkind = \"mirror\"\nremote = \"nobody\"",
        &["remote", "nobody"],
    ),
    (
        "a bad provider",
        "[[remote]]\nname = \"r\"\nprovider = \"dockerhub\"\nurls = [\"https://r.io\"]",
        &["provider", "dockerhub", "docker-hub"],
    ),
    (
        "a bad level",
        "[log]\nlevel = \"entrepot=loud\"",
        &["log.level", "loud"],
    ),
];

#[test]
fn a_wrong_configuration_exits_with_64_and_touches_nothing() {
    for (what, text, named) in WRONG {
        let folder = folder_with(text);
        for arguments in [
            ["serve", "--config", "entrepot.toml"].as_slice(),
            &["config", "check", "--config", "entrepot.toml"],
        ] {
            let output = run(folder.path(), arguments);
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(64), "{what}: {message}");
            for name in named {
                assert!(
                    message.contains(name),
                    "{what}: `{name}` is not in: {message}"
                );
            }
            if what != "a bad level" {
                assert!(message.contains("entrepot.toml"), "{what}: {message}");
            }
            assert!(output.stdout.is_empty(), "{what}");
        }
        assert_eq!(
            names_in(folder.path()),
            ["entrepot.toml"],
            "{what}: nothing is written"
        );
    }
}

#[test]
fn files_that_cannot_be_used_are_configuration_errors_too() {
    let folder = folder_with("[server]\ntls = { cert = \"a.crt\", key = \"a.key\" }");
    fs::write(folder.path().join("a.crt"), "not PEM").expect("a file");
    fs::write(folder.path().join("a.key"), "not PEM").expect("a file");
    for arguments in [
        ["serve", "--config", "entrepot.toml"].as_slice(),
        &["config", "check", "--config", "entrepot.toml"],
    ] {
        let output = run(folder.path(), arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{message}");
        assert!(
            message.contains("server.tls") && message.contains("a.crt"),
            "{message}"
        );
    }
    assert_eq!(names_in(folder.path()).len(), 3, "nothing is written");
    let folder =
        folder_with("[[remote]]\nname = \"r\"\nurls = [\"https://r.io\"]\nca = \"ca.pem\"");
    fs::write(folder.path().join("ca.pem"), "not PEM").expect("a file");
    let output = run(folder.path(), &["serve", "--config", "entrepot.toml"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{message}");
    assert!(
        message.contains("ca.pem") && message.contains('r'),
        "{message}"
    );
}

#[test]
fn a_file_that_is_not_there_is_told_by_its_name() {
    let folder = TempDir::new().expect("a folder");
    let output = run(folder.path(), &["serve", "--config", "elsewhere.toml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("elsewhere.toml"));
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn a_bad_variable_of_the_environment_is_told_by_its_name() {
    let folder = TempDir::new().expect("a folder");
    let mut command = command(folder.path(), &["config", "check"]);
    let output = command
        .env("ENTREPOT__SERVER__LISTEN", "nowhere")
        .output()
        .expect("the binary runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{message}");
    assert!(message.contains("ENTREPOT__SERVER__LISTEN"), "{message}");
}

#[test]
fn secrets_are_not_repeated_in_errors() {
    let folder = folder_with("[[remote]]\nname = \"r\"\nurls = [\"https://u:hunter2@r.io\"]");
    let output = run(
        folder.path(),
        &["config", "check", "--config", "entrepot.toml"],
    );
    assert_eq!(output.status.code(), Some(64));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
}

#[test]
fn config_check_says_that_all_is_well_and_writes_nothing() {
    let folder = folder_with("[server]\nlisten = \"127.0.0.1:0\"\n[storage]\npath = \"data\"");
    let output = run(
        folder.path(),
        &["config", "check", "--config", "entrepot.toml"],
    );
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.stdout, b"entrepot.toml is valid\n");
    assert_eq!(names_in(folder.path()), ["entrepot.toml"]);
    let empty = TempDir::new().expect("a folder");
    assert_eq!(
        run(empty.path(), &["config", "check"]).status.code(),
        Some(0),
        "the defaults are valid"
    );
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    let folder = TempDir::new().expect("a folder");
    for arguments in [["srve"].as_slice(), &["serve", "--confg", "x"], &[]] {
        assert_eq!(
            run(folder.path(), arguments).status.code(),
            Some(64),
            "{arguments:?}"
        );
    }
}

#[test]
fn help_and_version_are_answers() {
    let folder = TempDir::new().expect("a folder");
    let version = run(folder.path(), &["--version"]);
    assert_eq!(version.status.code(), Some(0));
    let line = concat!("entrepot ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(version.stdout, line.as_bytes());
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for command in ["serve", "config", "healthcheck"] {
        assert!(text.contains(command), "{command} not in {text}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_and_is_no_configuration_error() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let folder = folder_with(&format!(
        "[server]\nlisten = \"{address}\"\n[storage]\npath = \"data\""
    ));
    let output = run(folder.path(), &["serve", "--config", "entrepot.toml"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(&address), "{message}");
}

#[tokio::test]
async fn without_a_file_it_starts_and_says_where_it_listens_and_how_to_connect() {
    let folder = TempDir::new().expect("a folder");
    let mut command = command(folder.path(), &["serve"]);
    command.env("ENTREPOT__SERVER__LISTEN", "127.0.0.1:0");
    let process = Process::start(folder, command).await;
    assert_eq!(get(&format!("{}/v2/", process.url)).await.status, 200);
    let unknown = get(&format!(
        "{}/v2/a/manifests/1?ns=nobody.example",
        process.url
    ))
    .await;
    let known = unknown.json()["errors"][0]["message"].to_string();
    for project in [
        "docker.io",
        "gcr.io",
        "ghcr.io",
        "mcr.microsoft.com",
        "public.ecr.aws",
        "quay.io",
        "registry.k8s.io",
    ] {
        assert!(known.contains(project), "{known}");
    }
    // Printed at once; the last line comes last.
    process.printed("Podman").await;
    let host = process.url.trim_start_matches("http://").to_owned();
    let printed = process.stdout();
    assert!(
        printed.contains(&format!("docker pull {host}/docker.io/library/nginx")),
        "{printed}"
    );
    assert!(
        printed.contains("containerd") && printed.contains("registry-mirrors"),
        "{printed}"
    );
    assert!(process.folder.path().join("entrepot-data").is_dir());
}

#[tokio::test]
async fn the_healthcheck_command_tells_by_its_exit_code() {
    let hub = FakeRegistry::start().await;
    let process = Process::serve(&Setup::hub(&hub).text(), &[]).await;
    let address = process.url.trim_start_matches("http://").to_owned();
    let healthy = |address: &str, arguments: &[&str]| {
        let mut command = command(process.folder.path(), arguments);
        let output = command
            .env("ENTREPOT__SERVER__LISTEN", address)
            .output()
            .expect("the binary runs");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let well = (Some(0), "ok\n".to_owned());
    assert_eq!(healthy(&address, &["healthcheck"]), well);
    let (code, message) = healthy("127.0.0.1:1", &["healthcheck"]);
    assert_eq!(code, Some(1), "{message}");
    let url = format!("{}/healthz", process.url);
    let by_url = ["healthcheck", "--url", &url];
    assert_eq!(healthy("127.0.0.1:1", &by_url), well);
}

#[tokio::test]
async fn as_many_files_may_be_open_as_the_machine_allows() {
    let folder = folder_with(&Setup::empty().text());
    let binary = command(folder.path(), &[]);
    let script = "ulimit -Sn 200; exec \"$0\" serve --config entrepot.toml";
    let mut shell = std::process::Command::new("/bin/sh");
    shell
        .args(["-c", script])
        .arg(binary.get_program())
        .current_dir(folder.path());
    let process = Process::start(folder, shell).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("it runs");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = line.expect("the limit").split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard");
}
