//! crane, which is given the mirror as the registry.

use std::process::Command;

use crate::harness::{Client, Image, cold_hot_and_with_the_remotes_stopped, run};

#[test]
fn crane_pulls_and_unpacks() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let crane = Crane {
            client: Client::new(),
        };
        for (project, content) in world.projects() {
            for image in content.images_and_zstd() {
                let repository = world.behind_mirror(project, image.name);
                crane.assert_digest(&repository, image);
                crane.pull(&repository, image);
            }
            for image in content.images() {
                crane.assert_unpacks(&world.behind_mirror(project, image.name), image);
            }
            let artifact = world.behind_mirror(project, content.artifact.name);
            crane.assert_digest(&artifact, &content.artifact);
            crane.assert_manifests(&artifact, &content.referrers);
            crane.assert_lists(
                &world.behind_mirror(project, content.single.name),
                content.single.tag,
            );
        }
    });
}

struct Crane {
    client: Client,
}

impl Crane {
    fn command(&self) -> Command {
        let mut crane = self.client.command("crane");
        crane.arg("--insecure");
        crane
    }

    /// By HEAD, and by the manifest itself.
    fn assert_digest(&self, repository: &str, image: &Image) {
        let reference = format!("{repository}:{}", image.tag);
        assert_eq!(
            run(self.command().args(["digest", &reference])).trim(),
            image.digest,
            "{reference}"
        );
        self.assert_manifest(&reference, &image.digest);
    }

    fn assert_manifests(&self, repository: &str, digests: &[String]) {
        for digest in digests {
            self.assert_manifest(&format!("{repository}@{digest}"), digest);
        }
    }

    fn assert_manifest(&self, reference: &str, digest: &str) {
        let manifest = run(self.command().args(["manifest", reference]));
        let file = self.client.write("manifest.json", &manifest);
        let sum = run(self.client.command("sha256sum").arg(file));
        assert!(
            sum.starts_with(digest.trim_start_matches("sha256:")),
            "{reference}: {sum}"
        );
    }

    /// Into an OCI layout. crane verifies the digest of each blob.
    fn pull(&self, repository: &str, image: &Image) {
        let layout = self.client.path(image.name);
        let reference = format!("{repository}:{}", image.tag);
        run(self
            .command()
            .args(["pull", "--format", "oci", &reference, &layout]));
        let index = std::fs::read_to_string(format!("{layout}/index.json")).expect("an index");
        assert!(index.contains(&image.digest), "{reference}: {index}");
    }

    /// The files of all layers, as a container would see them.
    fn assert_unpacks(&self, repository: &str, image: &Image) {
        let archive = self.client.path("files.tar");
        let reference = format!("{repository}:{}", image.tag);
        run(self
            .command()
            .args(["export", "--platform", "linux/amd64", &reference, &archive]));
        let greeting = run(self
            .client
            .command("tar")
            .args(["-xOf", &archive, "hello.txt"]));
        assert_eq!(greeting, image.greeting, "{reference}");
    }

    fn assert_lists(&self, repository: &str, tag: &str) {
        let tags = run(self.command().args(["ls", repository]));
        assert!(tags.lines().any(|line| line == tag), "{repository}: {tags}");
    }
}
