//! Several destinations at once: each blob is read from its source once.

use serde_json::json;

use super::{Folder, plain};
use crate::{
    copy_command::assert_has,
    harness::{FakeRegistry, Fault, Image, ImageBuilder, On},
    real_registry::{Program, RealRegistry},
};

const LAYER: usize = 1_500_000;

/// Two images with one layer in common, and two registries that are to have them.
struct Scene {
    fake: FakeRegistry,
    images: Vec<Image>,
    registries: [RealRegistry; 2],
    folder: Folder,
}

impl Scene {
    async fn start() -> Self {
        let fake = FakeRegistry::start().await;
        let images: Vec<Image> = (0..2)
            .map(|number| {
                let builder = ImageBuilder::new(number).shared_layer(99, LAYER);
                builder.layer(LAYER).build()
            })
            .collect();
        for (image, repository) in images.iter().zip(["one", "two"]) {
            fake.put_image(repository, "1", image);
        }
        let (a, b) = tokio::join!(
            RealRegistry::start(Program::Distribution),
            RealRegistry::start(Program::DockerRegistry)
        );
        let folder = Folder::new();
        let from = fake.host();
        let auth = plain(&[&from, &a.host, &b.host]);
        folder.write("auth.json", &auth.to_string());
        let to = |name: &str| [&a, &b].map(|registry| format!("{}/{name}", registry.host));
        let rules = json!({
            format!("{from}/one:1"): to("one"),
            format!("{from}/two:1"): to("two"),
        });
        folder.write("images.json", &rules.to_string());
        Self {
            fake,
            images,
            registries: [a, b],
            folder,
        }
    }

    async fn sync(&self) {
        let arguments = ["--auth=auth.json", "--images=images.json"];
        let said = self.folder.sync(&arguments).await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        for registry in &self.registries {
            for (image, repository) in self.images.iter().zip(["one", "two"]) {
                assert_has(&registry.url(), repository, "1", image).await;
            }
        }
    }

    /// Of layers and configurations, as the source gave them out.
    fn bytes_read(&self) -> u64 {
        self.fake.bytes_sent(On::blob().get())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_blob_is_read_once_for_all_destinations() {
    let scene = Scene::start().await;
    scene.sync().await;
    // Three layers, two configurations.
    assert_eq!(scene.fake.count(On::blob().get()), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_breaks_is_read_on_from_there() {
    let scene = Scene::start().await;
    let shared = scene.images[0].layers()[0].clone();
    let on = On::blob().get().reference(&shared);
    scene.fake.fault(on, Fault::CutAfter(LAYER as u64 / 2));
    scene.sync().await;
    assert_eq!(scene.fake.faults_left(), 0);
    let (read, needed) = (scene.bytes_read(), 3 * LAYER as u64);
    assert!(read < needed + needed / 10, "{read} of {needed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_not_kept_for_the_next_try() {
    let scene = Scene::start().await;
    let shared = scene.images[0].layers()[0].clone();
    let on = On::blob().get().reference(&shared);
    scene.fake.fault(on, Fault::FlipByteAt(LAYER as u64 / 2));
    scene.sync().await;
    assert_eq!(scene.fake.faults_left(), 0);
}
