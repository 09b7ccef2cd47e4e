//! skopeo with the mirror in `registries.conf`: whole images, all platforms of them, to a folder.

use std::process::Command;

use crate::harness::{Client, Image, World, cold_hot_and_with_the_remotes_stopped, run};
use crate::podman::{POLICY, registries};

#[test]
fn skopeo_copies_images_and_artifacts_byte_for_byte() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let skopeo = Skopeo::new(world);
        for (project, content) in world.projects() {
            for image in content
                .images_and_zstd()
                .into_iter()
                .chain([&content.artifact])
            {
                skopeo.inspect(&project.reference(image), image);
            }
            for image in [
                &content.single,
                &content.schema2,
                &content.zstd,
                &content.artifact,
            ] {
                let reference = project.reference(image);
                skopeo.copy(&reference, &["--preserve-digests"], "dir");
                skopeo.assert_manifest("dir/manifest.json", image);
            }
            // An index changes its form on the way to a `dir:`, an OCI layout keeps it.
            skopeo.copy(&project.reference(&content.index), &["--all"], "oci");
            let blob = content.index.digest.replace(':', "/");
            skopeo.assert_manifest(&format!("oci/blobs/{blob}"), &content.index);
        }
    });
}

struct Skopeo {
    client: Client,
}

impl Skopeo {
    fn new(world: &World) -> Self {
        let client = Client::new();
        client.write("registries.conf", &registries(world));
        client.write("policy.json", POLICY);
        Self { client }
    }

    fn inspect(&self, reference: &str, image: &Image) {
        let source = format!("docker://{reference}");
        let manifest = run(self.skopeo().args(["inspect", "--raw", &source]));
        self.client.write("inspected.json", &manifest);
        self.assert_manifest("inspected.json", image);
    }

    /// Copies to a new folder of the given kind, which is its name too. skopeo verifies each blob.
    fn copy(&self, reference: &str, options: &[&str], kind: &str) {
        let folder = self.client.path(kind);
        let _ = std::fs::remove_dir_all(&folder);
        let destination = if kind == "oci" {
            format!("oci:{folder}:1")
        } else {
            format!("{kind}:{folder}")
        };
        let source = format!("docker://{reference}");
        run(self
            .skopeo()
            .args(["copy", "--quiet"])
            .args(options)
            .args([&source, &destination]));
    }

    fn assert_manifest(&self, file: &str, image: &Image) {
        let line = run(self.client.command("sha256sum").arg(self.client.path(file)));
        let digest = format!(
            "sha256:{}",
            line.split_whitespace().next().unwrap_or_default()
        );
        assert_eq!(digest, image.digest, "{}", image.name);
    }

    fn skopeo(&self) -> Command {
        let mut skopeo = self.client.command("skopeo");
        skopeo.args(["--registries-conf", &self.client.path("registries.conf")]);
        skopeo.args([
            "--policy",
            &self.client.path("policy.json"),
            "--command-timeout",
            "60s",
        ]);
        skopeo
    }
}
