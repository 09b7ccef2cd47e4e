//! Helm, with charts in place of images.

use std::process::Command;

use super::{log_in_and_pull, log_in_and_push};
use crate::harness::{Client, Hosting, run};

const CHART: &str = "apiVersion: v2\nname: app\nversion: 0.1.0\n";

#[test]
fn helm_pushes_a_chart_and_another_pulls_the_same() {
    let hosting = Hosting::start();
    let here = Client::new();
    here.write("app/Chart.yaml", CHART);
    here.write("app/values.yaml", "greeting: hello\n");
    run(here.command("helm").args(["package", "app"]));
    let repository = format!("oci://{}", hosting.reference("charts"));
    let helm = |client: &Client, arguments: &[&str]| {
        let mut helm = client.command("helm");
        helm.args(arguments).arg("--plain-http");
        helm
    };
    let log_in = |client: &Client, password: &str| -> Command {
        let host = hosting.host();
        let login = ["registry", "login", "-u", "admin", "-p", password, &host];
        helm(client, &login)
    };
    log_in_and_push(
        |password| log_in(&here, password),
        || helm(&here, &["push", "app-0.1.0.tgz", &repository]),
    );

    let elsewhere = Client::new();
    let chart = format!("{repository}/app");
    log_in_and_pull(
        |password| log_in(&elsewhere, password),
        || helm(&elsewhere, &["pull", &chart, "--version", "0.1.0"]),
    );
    let bytes = |client: &Client| std::fs::read(client.path("app-0.1.0.tgz")).expect("a chart");
    assert_eq!(bytes(&elsewhere), bytes(&here));
    let show = ["show", "chart", &chart, "--version", "0.1.0"];
    assert!(run(&mut helm(&elsewhere, &show)).contains("name: app"));
}
