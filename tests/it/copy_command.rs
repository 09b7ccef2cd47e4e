//! `entrepot copy` as a process, between real registries and Entrepot itself.

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    api::PASSWORD,
    harness::{Client, FakeRegistry, Image, ImageBuilder, sha256},
    process::{Said, entrepot_in},
    push::setup,
    real_registry::{Program, RealRegistry},
};

/// Runs the binary in a folder of its own.
async fn entrepot(arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let folder = TempDir::new().expect("a folder");
    entrepot_in(folder.path(), arguments, environment).await
}

/// Pulls an image by its tag, with everything below it.
pub(crate) async fn assert_has(url: &str, repository: &str, tag: &str, image: &Image) {
    let base = format!("{url}/v2/{repository}");
    let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                  application/vnd.docker.distribution.manifest.list.v2+json, \
                  application/vnd.docker.distribution.manifest.v2+json";
    let client = Client::new();
    let get = async |path: String| {
        let url = format!("{base}/{path}");
        client
            .send(http::Method::GET, &url, &[("accept", accept)])
            .await
    };
    let root = get(format!("manifests/{tag}")).await;
    assert_eq!(
        (root.status, sha256(&root.body)),
        (200, image.root.clone()),
        "{base}:{tag}"
    );
    for manifest in &image.manifests {
        let answer = get(format!("manifests/{}", manifest.digest)).await;
        assert_eq!(answer.body, manifest.bytes);
    }
    for (digest, bytes) in &image.blobs {
        let answer = get(format!("blobs/{digest}")).await;
        assert_eq!((answer.status, &answer.body), (200, bytes), "{digest}");
    }
}

fn image() -> Image {
    ImageBuilder::new(7)
        .layer(3 << 20)
        .layer(10)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_from_each_registry_to_the_next() {
    let image = image();
    let fake = FakeRegistry::start().await;
    fake.put_image("library/app", "1", &image);
    let distribution = RealRegistry::start(Program::Distribution).await;
    let login = Some(("robot", "s3cret"));
    let terms = crate::real_registry::Terms { login, tls: None };
    let older = RealRegistry::with(Program::DockerRegistry, terms).await;
    let server = setup("").start().await;
    let ours = server.url().strip_prefix("http://").expect("a plain URL");
    let ways = [
        (
            format!("{}/library/app:1", fake.host()),
            format!("{}/a/b/c/app", distribution.host),
        ),
        (
            format!("{}/a/b/c/app:1", distribution.host),
            format!("{}/app:one", older.host),
        ),
        (
            format!("{}/app:one", older.host),
            format!("{ours}/team/app"),
        ),
        (
            format!("{ours}/team/app:one"),
            format!("{}/back/app:2", distribution.host),
        ),
    ];
    let older_login = [
        ("ENTREPOT_TO_PASSWORD", "s3cret"),
        ("ENTREPOT_FROM_PASSWORD", "s3cret"),
    ];
    let our_login = [
        ("ENTREPOT_TO_PASSWORD", PASSWORD),
        ("ENTREPOT_FROM_PASSWORD", "s3cret"),
    ];
    for (at, (from, to)) in ways.iter().enumerate() {
        let mut arguments = vec!["copy", from, to];
        let mut environment = &older_login[..];
        match at {
            1 => arguments.extend(["--to-user", "robot"]),
            2 => {
                arguments.extend(["--from-user", "robot", "--to-user", "admin"]);
                environment = &our_login;
            }
            _ => {}
        }
        let said = entrepot(&arguments, environment).await;
        assert_eq!(
            said.code,
            Some(0),
            "{from} → {to}: {}{}",
            said.stdout,
            said.stderr
        );
        assert!(said.stdout.starts_with("copied "), "{}", said.stdout);
    }
    assert_has(&distribution.url(), "a/b/c/app", "1", &image).await;
    assert_has(server.url(), "team/app", "one", &image).await;
    assert_has(&distribution.url(), "back/app", "2", &image).await;
    let (from, to) = &ways[0];
    let again = entrepot(&["copy", from, to], &[]).await;
    assert!(again.stdout.starts_with("unchanged "), "{}", again.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_within_a_registry_sends_no_blob() {
    let image = image();
    let fake = FakeRegistry::start().await;
    fake.put_image("app", "1", &image);
    for program in [Program::Distribution, Program::DockerRegistry] {
        let registry = RealRegistry::start(program).await;
        let from = format!("{}/app:1", fake.host());
        let (one, two) = (
            format!("{}/one", registry.host),
            format!("{}/two", registry.host),
        );
        assert_eq!(entrepot(&["copy", &from, &one], &[]).await.code, Some(0));
        let one = format!("{one}:1");
        let said = entrepot(&["copy", &one, &two, "--output", "json"], &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.stdout);
        let copied: Value = serde_json::from_str(&said.stdout).expect("JSON");
        assert_eq!(copied[0]["bytes_sent"], 0, "{copied}");
        assert_has(&registry.url(), "two", "1", &image).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tags_are_copied_and_what_cannot_be_is_told() {
    let fake = FakeRegistry::start().await;
    let images: Vec<Image> = (1..=5)
        .map(|seed| {
            ImageBuilder::new(seed)
                .layer(20_000)
                .shared_layer(9, 50_000)
                .build()
        })
        .collect();
    for (at, image) in images.iter().enumerate() {
        fake.put_image("app", &format!("v{at}"), image);
    }
    fake.remove_blob("app", &images[2].layers()[0]);
    let registry = RealRegistry::start(Program::Distribution).await;
    let (from, to) = (
        format!("{}/app", fake.host()),
        format!("{}/app", registry.host),
    );
    let copy = ["copy", &from, &to, "--all-tags", "--output", "json"];
    let said = entrepot(&copy, &[]).await;
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let copied: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let outcomes: Vec<_> = copied
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["outcome"])
        .collect();
    assert_eq!(outcomes, ["copied", "copied", "failed", "copied", "copied"]);
    assert!(
        copied[2]["error"]
            .as_str()
            .expect("a text")
            .contains("does not have it")
    );
    for at in [0, 1, 3, 4] {
        assert_has(&registry.url(), "app", &format!("v{at}"), &images[at]).await;
    }
    // What is shared was read once.
    let shared = images[0]
        .layers()
        .into_iter()
        .find(|layer| images[1].layers().contains(layer));
    let on = crate::harness::On::blob()
        .get()
        .reference(&shared.expect("a shared layer"));
    assert_eq!(fake.count(on), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_and_refusals_are_said() {
    let said = entrepot(&["copy", "UPPER/x", "r.io/a"], &[]).await;
    assert_eq!(said.code, Some(64), "{}", said.stderr);
    let login = Some(("robot", "s3cret"));
    let terms = crate::real_registry::Terms { login, tls: None };
    let registry = RealRegistry::with(Program::Distribution, terms).await;
    let fake = FakeRegistry::start().await;
    fake.put_image("app", "1", &image());
    let (from, to) = (
        format!("{}/app:1", fake.host()),
        format!("{}/app", registry.host),
    );
    let said = entrepot(&["copy", &from, &to], &[]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("cannot write to"), "{}", said.stdout);
    assert!(
        said.stdout.contains("the remote refuses"),
        "{}",
        said.stdout
    );
}
