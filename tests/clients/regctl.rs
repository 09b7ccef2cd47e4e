//! regctl, which is given the mirror as the registry: images to a layout, artifacts and referrers.

use std::process::Command;

use crate::harness::{
    ARTIFACT_TYPE, Client, SBOM_TYPE, World, cold_hot_and_with_the_remotes_stopped, run,
};

#[test]
fn regctl_copies_images_with_all_their_platforms() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let regctl = Regctl::new(world);
        for (project, content) in world.projects() {
            for image in content.images_and_zstd() {
                let reference =
                    format!("{}:{}", world.behind_mirror(project, image.name), image.tag);
                let layout = format!("ocidir://{}:1", regctl.client.path(image.name));
                run(regctl
                    .command()
                    .args(["image", "copy", &reference, &layout]));
                let digest = run(regctl.command().args(["image", "digest", &layout]));
                assert_eq!(digest.trim(), image.digest, "{reference}");
            }
        }
    });
}

#[test]
fn regctl_finds_the_referrers_of_an_artifact_and_reads_them() {
    cold_hot_and_with_the_remotes_stopped(|world| {
        let regctl = Regctl::new(world);
        for (project, content) in world.projects() {
            let repository = world.behind_mirror(project, content.artifact.name);
            let reference = format!("{repository}:{}", content.artifact.tag);
            assert_eq!(
                regctl.referrers(&reference),
                content.referrers,
                "{reference}"
            );

            let own = run(regctl.command().args(["artifact", "get", &reference]));
            assert_eq!(own, project.artifact_text(ARTIFACT_TYPE), "{reference}");
            let sbom = run(regctl.command().args([
                "artifact",
                "get",
                "--subject",
                &reference,
                "--filter-artifact-type",
                SBOM_TYPE,
            ]));
            assert_eq!(sbom, project.artifact_text(SBOM_TYPE), "{reference}");
        }
    });
}

struct Regctl {
    client: Client,
}

impl Regctl {
    fn new(world: &World) -> Self {
        let regctl = Self {
            client: Client::new(),
        };
        let mirror = world.mirror().to_string();
        run(regctl
            .command()
            .args(["registry", "set", "--tls", "disabled", &mirror]));
        regctl
    }

    fn referrers(&self, reference: &str) -> Vec<String> {
        let format = "{{range .Descriptors}}{{println .Digest}}{{end}}";
        let list = run(self.command().args([
            "artifact",
            "list",
            "--digest-tags=false",
            "--format",
            format,
            reference,
        ]));
        let mut digests: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
        digests.sort();
        digests
    }

    fn command(&self) -> Command {
        self.client.command("regctl")
    }
}
