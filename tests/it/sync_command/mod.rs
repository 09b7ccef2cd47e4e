//! `entrepot sync` as a process: image-syncer's command lines and files against real registries.

mod harbor_to_cloud;
mod many;

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    copy_command::assert_has,
    harness::{FakeRegistry, Fault, Image, ImageBuilder, On},
    process::{Said, entrepot_in},
    real_registry::{Program, RealRegistry, Terms},
};

/// A folder with the files of a sync.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).expect("a file")
    }

    async fn sync(&self, arguments: &[&str]) -> Said {
        self.sync_in(arguments, &[]).await
    }

    async fn sync_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        entrepot_in(self.path(), &[&["sync"], arguments].concat(), environment).await
    }
}

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layer(30_000).build()
}

/// `auth` entries without logins, for registries without TLS.
fn plain(hosts: &[&str]) -> Value {
    let entries = hosts
        .iter()
        .map(|host| ((*host).to_owned(), json!({"insecure": true})));
    Value::Object(entries.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_rule_copies_what_it_says() {
    let fake = FakeRegistry::start().await;
    let images: Vec<Image> = (0..4).map(image).collect();
    for (image, tag) in images.iter().zip(["v1.0", "v1.1", "v2.0", "latest"]) {
        fake.put_image("lib/app", tag, image);
    }
    let (one, two) = tokio::join!(
        RealRegistry::start(Program::Distribution),
        RealRegistry::start(Program::DockerRegistry)
    );
    let (from, a, b) = (format!("{}/lib/app", fake.host()), &one.host, &two.host);
    let folder = Folder::new();
    let digest = &images[2].root;
    folder.write(
        "images.yaml",
        &format!(
            "{from}: {a}/all\n\
             {from}:v1.0: [\"{a}/array1\", \"{b}/array2:x\", \"{a}/array1\"]\n\
             {from}:v1.0,v2.0: {b}/renamed:a,b\n\
             {from}:/^v1\\..*/: {b}/${{NS}}/matched\n\
             {from}@{digest}: {a}/digest:d\n\
             {from}:v2.0: \"\"\n"
        ),
    );
    let auth = plain(&[&fake.host(), a, b]);
    folder.write("auth.json", &auth.to_string());
    let arguments = [
        "--auth",
        "auth.json",
        "--images",
        "images.yaml",
        "-p",
        "3",
        "--output-success-images",
        "done.json",
        "--output-images-format",
        "json",
    ];
    let environment = [
        ("NS", "team/x"),
        ("DEFAULT_REGISTRY", a.as_str()),
        ("DEFAULT_NAMESPACE", "default"),
    ];
    let said = folder.sync_in(&arguments, &environment).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for (url, repository, tag, image) in [
        (one.url(), "all", "v1.0", 0),
        (one.url(), "all", "latest", 3),
        (one.url(), "array1", "v1.0", 0),
        (two.url(), "array2", "x", 0),
        (two.url(), "renamed", "a", 0),
        (two.url(), "renamed", "b", 2),
        (two.url(), "team/x/matched", "v1.0", 0),
        (two.url(), "team/x/matched", "v1.1", 1),
        (one.url(), "digest", "d", 2),
        (one.url(), "default/app", "v2.0", 2),
    ] {
        assert_has(&url, repository, tag, &images[image]).await;
    }
    let done: Value = serde_json::from_str(&folder.read("done.json")).expect("JSON");
    let of_one = done[format!("{from}:v1.0")]
        .as_array()
        .expect("a list")
        .len();
    assert_eq!(of_one, 5, "{done}");
    // The second time nothing is copied, and nothing is recorded.
    fake.forget_requests();
    let said = folder.sync_in(&arguments, &environment).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fake.count(On::manifest().get()) + fake.count(On::blob()), 0);
    assert_eq!(folder.read("done.json").trim(), "{}");
    assert!(
        said.stderr
            .contains("skip synchronization because the destination is the same")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_listed_and_ends_with_255() {
    let fake = FakeRegistry::start().await;
    fake.put_image("app", "1", &image(1));
    fake.put_image("app", "2", &image(2));
    let terms = Terms {
        login: Some(("u", "p")),
        tls: None,
    };
    let (open, closed) = tokio::join!(
        RealRegistry::start(Program::Distribution),
        RealRegistry::with(Program::Distribution, terms)
    );
    let folder = Folder::new();
    let (from, a, b) = (fake.host(), &open.host, &closed.host);
    let config = json!({
        "auth": {
            &from: {"insecure": true},
            a: {"insecure": true},
            format!("{b}/team"): {"username": "somebody", "password": "wrong", "insecure": true},
        },
        "images": {
            format!("{from}/app:1"): [format!("{a}/app"), format!("{b}/team/app")],
            format!("{from}/app:9"): format!("{a}/app"),
            format!("{from}/none"): format!("{a}/none"),
            format!("{from}/app:2"): format!("{a}/late"),
        },
    });
    folder.write("config.json", &config.to_string());
    let said = folder.sync(&["--config", "config.json", "-r", "1"]).await;
    assert_eq!(said.code, Some(255), "{}", said.stderr);
    assert!(
        said.stdout.contains("failed tasks exist"),
        "{}",
        said.stdout
    );
    let lines: Vec<&str> = said.stderr.lines().collect();
    let last = lines[lines.len() - 1];
    assert!(
        last.contains("Synchronization finished, 3 tasks failed, cost "),
        "{}",
        said.stderr
    );
    let failed = lines[lines.len() - 4..lines.len() - 1].join("\n");
    assert!(
        failed.contains(&format!("synchronizing {from}/app:9 => {a}/app:9: ")),
        "{failed}"
    );
    assert!(
        failed.contains(&format!("generating tasks of {from}/none => {a}/none: ")),
        "{failed}"
    );
    let refused = format!("we asked {b} as user `somebody` of the auth key `{b}/team`");
    assert!(failed.contains(&refused), "{failed}");
    // Everything else was done before anything was tried again.
    let retry = said
        .stderr
        .find("Retrying 3 failed tasks")
        .expect("a second pass");
    let late = said
        .stderr
        .find("/late:2: synchronized")
        .expect("it was copied");
    assert!(late < retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_passes_is_none() {
    let fake = FakeRegistry::start().await;
    fake.put_image("app", "1", &image(1));
    // By HTTPS, which is not spoken there, and by HTTP.
    fake.fault_times(On::tags(), 2, Fault::status(404));
    let registry = RealRegistry::start(Program::Distribution).await;
    let (from, to) = (fake.host(), &registry.host);
    let folder = Folder::new();
    folder.write("auth.json", &plain(&[&from, to]).to_string());
    folder.write(
        "images.json",
        &json!({format!("{from}/app"): format!("{to}/app")}).to_string(),
    );
    let said = folder
        .sync(&["--auth=auth.json", "--images=images.json"])
        .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("Failed to executed generating tasks of"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr
            .contains("Synchronization finished, 0 tasks failed"),
        "{}",
        said.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_wrong_end_with_255_and_their_reason_on_stdout() {
    let folder = Folder::new();
    let said = folder.sync(&[]).await;
    assert_eq!(said.code, Some(255));
    assert!(
        said.stdout
            .contains("neither config.json nor images.json is provided"),
        "{}",
        said.stdout
    );
    folder.write("images.yaml", "a.io/p: []\n");
    let said = folder.sync(&["--images", "images.yaml"]).await;
    assert_eq!(said.code, Some(255));
    assert!(
        said.stdout
            .contains("empty destination is not supported for source: a.io/p")
    );
    folder.write("images.txt", "");
    let said = folder.sync(&["--images", "images.txt"]).await;
    assert!(
        said.stdout
            .contains("only .yaml, .yml and .json files are read"),
        "{}",
        said.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_ends_with_255_too() {
    let said = Folder::new().sync(&["--proc=many"]).await;
    assert_eq!(said.code, Some(255));
    assert!(said.stderr.contains("--proc"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_are_chosen_and_what_has_none_of_them_is_skipped() {
    let fake = FakeRegistry::start().await;
    let platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"];
    let index = ImageBuilder::new(5)
        .layer(10_000)
        .platforms(&platforms)
        .build();
    fake.put_image("index", "1", &index);
    let registry = RealRegistry::start(Program::Distribution).await;
    let (from, to) = (fake.host(), &registry.host);
    let folder = Folder::new();
    folder.write("auth.json", &plain(&[&from, to]).to_string());
    folder.write(
        "images.json",
        &json!({format!("{from}/index:1"): format!("{to}/index")}).to_string(),
    );
    let sync = ["--auth=auth.json", "--images=images.json", "--os", "linux"];
    let said = folder
        .sync(&[&sync[..], &["--arch", "arm:v7", "--arch", "amd64"]].concat())
        .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let url = format!("{}/v2/index/manifests/1", registry.url());
    let accept = [("accept", "application/vnd.oci.image.index.v1+json")];
    let there = crate::harness::Client::new()
        .send(http::Method::GET, &url, &accept)
        .await
        .json();
    assert_eq!(there["manifests"].as_array().expect("a list").len(), 2);
    let said = folder
        .sync(&[&sync[..], &["--arch", "s390x"]].concat())
        .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let skipped = "skip synchronization because no manifest fits platform filters";
    assert!(said.stderr.contains(skipped), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_name_image_syncer_the_binary_is_a_sync() {
    let folder = Folder::new();
    let program = folder.path().join("image-syncer");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_entrepot"), &program).expect("a link");
    let output = tokio::process::Command::new(&program)
        .arg("--proc=3")
        .output()
        .await;
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(255));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("neither config.json nor images.json is provided"),
        "{said}"
    );
}
