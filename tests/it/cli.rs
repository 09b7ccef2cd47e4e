//! The binary itself: what it prints and how it exits.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use assert_cmd::cargo::cargo_bin;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn entrepot(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin!("entrepot"));
    command
        .args(arguments)
        .current_dir(folder.path())
        .env_clear();
    command
}

/// Exit code, stdout, stderr.
fn run(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = entrepot(folder, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn folder(configuration: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("e.toml"), configuration).unwrap();
    folder
}

fn files(folder: &TempDir) -> Vec<String> {
    fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_typo_in_the_file_is_named_and_nothing_is_begun() {
    let folder = folder("[server]\nlistne = \"127.0.0.1:0\"\n");
    for arguments in [
        &["serve", "--config", "e.toml"][..],
        &["config", "check", "--config", "e.toml"],
    ] {
        let (code, stdout, stderr) = run(&folder, arguments);
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{stderr}");
        for part in ["e.toml", "server.listne", "listen", "hint:"] {
            assert!(stderr.contains(part), "{part} not in {stderr}");
        }
        assert_eq!(files(&folder), ["e.toml"]);
    }
}

#[test]
fn files_that_the_configuration_names_are_read_before_anything_is_begun() {
    let folder = folder(
        "[server]\nlisten = \"127.0.0.1:0\"\ntls = { cert = \"no.crt\", key = \"no.key\" }\n",
    );
    let (code, stdout, stderr) = run(&folder, &["serve", "--config", "e.toml"]);
    assert_eq!((code, stdout.as_str()), (Some(64), ""), "{stderr}");
    assert!(stderr.contains("no.crt"), "{stderr}");
    assert_eq!(files(&folder), ["e.toml"]);
}

#[test]
fn a_log_level_that_does_not_exist_is_a_configuration_error() {
    let folder = folder("[log]\nlevel = \"entrepot=loud\"\n");
    let (code, _, stderr) = run(&folder, &["serve", "--config", "e.toml"]);
    assert_eq!(code, Some(64), "{stderr}");
    assert!(stderr.contains("log.level"), "{stderr}");
    assert_eq!(files(&folder), ["e.toml"]);
}

#[test]
fn a_valid_file_is_said_to_be_valid() {
    let folder = folder("[server]\nlisten = \"127.0.0.1:0\"\n");
    let (code, stdout, stderr) = run(&folder, &["config", "check", "--config", "e.toml"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "e.toml is valid\n"),
        "{stderr}"
    );
    assert_eq!(files(&folder), ["e.toml"]);
}

#[test]
fn help_and_version_are_answers_and_a_wrong_word_is_not() {
    let folder = folder("");
    let (code, stdout, _) = run(&folder, &["--help"]);
    assert_eq!(code, Some(0));
    for command in ["serve", "config", "healthcheck"] {
        assert!(stdout.contains(command), "{command} not in {stdout}");
    }
    let (code, stdout, _) = run(&folder, &["--version"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        stdout,
        concat!("entrepot ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let (code, stdout, stderr) = run(&folder, &["srve"]);
    assert_eq!((code, stdout.as_str()), (Some(64), ""));
    assert!(stderr.contains("serve"), "{stderr}");
}

/// Killed when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_where_it_listens_is_healthy_and_ends_when_told_to() {
    let folder = folder(
        "[server]\nlisten = \"127.0.0.1:0\"\nshutdown_grace = \"2s\"\n[mirror]\noffline = true\n",
    );
    let mut running = Running(
        entrepot(&folder, &["serve", "--config", "e.toml"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut stdout = BufReader::new(running.0.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://127.0.0.1:"))
        .unwrap_or_else(|| panic!("no address in `{line}`"))
        .to_owned();

    let health = format!("{url}/healthz");
    let (code, stdout_of_check, stderr) = run(&folder, &["healthcheck", "--url", &health]);
    assert_eq!(
        (code, stdout_of_check.as_str()),
        (Some(0), "ok\n"),
        "{stderr}"
    );

    let pid = Pid::from_child(&running.0);
    kill_process(pid, Signal::TERM).unwrap();
    let began = Instant::now();
    let status = running.0.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20));

    let mut lines = String::new();
    stdout.read_to_string(&mut lines).unwrap();
    for part in [
        "registry-mirrors",
        "hosts.toml",
        "registries.conf",
        "docker pull",
    ] {
        assert!(lines.contains(part), "{part} not in {lines}");
    }
    let (code, _, _) = run(&folder, &["healthcheck", "--url", &health]);
    assert_eq!(code, Some(1));
}
