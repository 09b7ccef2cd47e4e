//! Helm, which is given the mirror as the registry of charts.

use crate::harness::{Client, cold_hot_and_with_the_remotes_stopped, run};

#[test]
fn helm_pulls_a_chart() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        for (project, content) in world.projects() {
            let chart = &content.chart;
            let client = Client::new();
            let reference = format!("oci://{}", world.behind_mirror(project, chart.name));
            let options = ["--version", chart.tag, "--plain-http"];

            run(client
                .command("helm")
                .args(["pull", &reference, "--untar"])
                .args(options));
            let values =
                std::fs::read_to_string(client.home().join(chart.name).join("values.yaml"))
                    .expect("the chart that was unpacked");
            assert!(values.ends_with(&chart.greeting), "{reference}: {values}");

            let about = run(client
                .command("helm")
                .args(["show", "chart", &reference])
                .args(options));
            assert!(about.contains("name: demo"), "{reference}: {about}");
        }
    });
}
