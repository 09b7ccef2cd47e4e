//! What there is to pull: built here with the clients' own tools, without any outside registry.
//! Both remotes have all of it under the same names, but of other bytes.
//!
//! ```text
//! single        one platform, OCI                index     two platforms, OCI
//! schema2       one platform, Docker schema 2    zstd      one platform, zstd layers
//! a/b/deep      a repository four names deep     artifact  no image; an SBOM and a signature refer to it
//! demo          a Helm chart
//! ```
//! The images share a layer with a static busybox. Each has one of its own below it, with
//! `/hello.txt`: a client that keeps unpacked layers then shares none of them and must pull all.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::layers;
use super::process::run;
use super::tools::command;

/// A mirror project, and the registry that it is filled from.
pub(crate) struct Project {
    /// The name of the project, and of the registry that clients believe to pull from.
    pub(crate) host: &'static str,
    /// The first component of the repositories there.
    pub(crate) owner: &'static str,
    pub(super) provider: &'static str,
    /// The program that plays the registry.
    pub(super) registry: &'static str,
    pub(super) freshness: &'static str,
    pub(super) is_default: bool,
}

impl Project {
    /// A name as people write it, like `docker.io/library/nginx:1`.
    pub(crate) fn reference(&self, image: &Image) -> String {
        format!("{}/{}/{}:{}", self.host, self.owner, image.name, image.tag)
    }

    /// What is in an artifact.
    pub(crate) fn artifact_text(&self, artifact_type: &str) -> String {
        format!("{artifact_type} of {}\n", self.owner)
    }

    fn greeting(&self, name: &str) -> String {
        format!("hello from {}/{name}\n", self.owner)
    }
}

/// The first asks its remote about a tag each time, and so must live with its absence.
pub(crate) const PROJECTS: [Project; 2] = [
    Project {
        host: "docker.io",
        owner: "library",
        provider: "docker-hub",
        registry: "registry",
        freshness: "tags = \"**\"\nmode = \"always\"",
        is_default: true,
    },
    Project {
        host: "ghcr.io",
        owner: "acme",
        provider: "docker-registry",
        registry: "docker-registry",
        freshness: "tags = \"**\"\nmode = \"ttl\"\nttl = \"60s\"",
        is_default: false,
    },
];

/// A tag, and the digest that must arrive for it.
pub(crate) struct Image {
    pub(crate) name: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) digest: String,
    /// What a container of it prints.
    pub(crate) greeting: String,
}

pub(crate) struct Content {
    pub(crate) single: Image,
    pub(crate) index: Image,
    pub(crate) schema2: Image,
    pub(crate) zstd: Image,
    pub(crate) deep: Image,
    pub(crate) artifact: Image,
    /// Digests of the manifests that refer to `artifact`, sorted.
    pub(crate) referrers: Vec<String>,
    pub(crate) chart: Image,
}

impl Content {
    /// Builds everything in `folder` and pushes it to `remote`.
    pub(super) fn publish(folder: &Path, remote: SocketAddr, project: &Project) -> Self {
        std::fs::create_dir_all(folder).expect("make the folder of the content");
        let registry = format!("{remote}/{}", project.owner);
        let builder = Builder {
            folder,
            registry,
            project,
        };
        let tls = ["registry", "set", "--tls", "disabled"];
        run(builder.regctl().args(tls).arg(remote.to_string()));
        let base = layers::base(folder);
        Self {
            single: builder.image("single", &base, OCI),
            index: builder.index("index", &base),
            schema2: builder.image("schema2", &base, &[]),
            deep: builder.image("a/b/deep", &base, OCI),
            zstd: builder.zstd("zstd", &base),
            artifact: builder.artifact("artifact"),
            referrers: builder.referrers("artifact", &[SBOM_TYPE, SIGNATURE_TYPE]),
            chart: builder.chart("demo"),
        }
    }

    /// What can be run as a container on this machine, whoever pulls it.
    pub(crate) fn images(&self) -> [&Image; 4] {
        [&self.single, &self.index, &self.schema2, &self.deep]
    }

    /// The same and what Docker Engine 20.10 cannot read.
    pub(crate) fn images_and_zstd(&self) -> [&Image; 5] {
        [
            &self.single,
            &self.index,
            &self.schema2,
            &self.deep,
            &self.zstd,
        ]
    }
}

/// Arguments that make `crane append` begin an OCI image, and not one of Docker's.
const OCI: &[&str] = &["--oci-empty-base"];
pub(crate) const ARTIFACT_TYPE: &str = "application/vnd.example.thing";
pub(crate) const SBOM_TYPE: &str = "application/vnd.example.sbom";
const SIGNATURE_TYPE: &str = "application/vnd.example.signature";
const CHART_VERSION: &str = "0.1.0";

/// Builds in `folder` and pushes to `registry`, which is a host with a first path component.
struct Builder<'a> {
    folder: &'a Path,
    registry: String,
    project: &'a Project,
}

impl Builder<'_> {
    fn crane(&self) -> Command {
        command("crane", self.folder)
    }

    fn regctl(&self) -> Command {
        command("regctl", self.folder)
    }

    fn reference(&self, name: &str, tag: &str) -> String {
        format!("{}/{name}:{tag}", self.registry)
    }

    /// The image that now is behind a tag.
    fn pushed(&self, name: &'static str, tag: &'static str) -> Image {
        let digest = run(self.crane().args(["digest", &self.reference(name, tag)]));
        Image {
            name,
            tag,
            digest: digest.trim().to_owned(),
            greeting: self.project.greeting(name),
        }
    }

    fn image(&self, name: &'static str, base: &Path, format: &[&str]) -> Image {
        self.platform(name, "1", "linux/amd64", base, format);
        self.pushed(name, "1")
    }

    /// Pushes an image for one platform. A container of it prints the greeting.
    fn platform(&self, name: &str, tag: &str, platform: &str, base: &Path, format: &[&str]) {
        let draft = self.reference(name, "draft");
        let own = layers::own(self.folder, name, &self.project.greeting(name));
        let mut append = self.crane();
        append.arg("append").args(format).args(["-t", &draft]);
        run(append.arg("-f").arg(own).arg("-f").arg(base));
        run(self
            .crane()
            .args(["mutate", &draft, "--set-platform", platform])
            .args([
                "--label",
                &format!("name={name}"),
                "--cmd",
                "cat,/hello.txt",
            ])
            .args(["-t", &self.reference(name, tag)]));
    }

    fn index(&self, name: &'static str, base: &Path) -> Image {
        let mut create = self.regctl();
        create.args(["index", "create", &self.reference(name, "1")]);
        for architecture in ["amd64", "arm64"] {
            let platform = format!("linux/{architecture}");
            self.platform(name, architecture, &platform, base, OCI);
            create.args(["--ref", &self.reference(name, architecture)]);
        }
        run(&mut create);
        self.pushed(name, "1")
    }

    fn zstd(&self, name: &'static str, base: &Path) -> Image {
        self.platform(name, "gzip", "linux/amd64", base, OCI);
        run(self
            .regctl()
            .args([
                "image",
                "mod",
                &self.reference(name, "gzip"),
                "--layer-compress",
                "zstd",
            ])
            .args(["--create", &self.reference(name, "1")]));
        self.pushed(name, "1")
    }

    fn artifact(&self, name: &'static str) -> Image {
        self.put_artifact(ARTIFACT_TYPE, &[&self.reference(name, "1")]);
        self.pushed(name, "1")
    }

    fn referrers(&self, subject: &str, artifact_types: &[&str]) -> Vec<String> {
        let subject = self.reference(subject, "1");
        for artifact_type in artifact_types {
            self.put_artifact(artifact_type, &["--subject", &subject]);
        }
        let list = [
            "artifact",
            "list",
            "--digest-tags=false",
            "--format",
            "{{range .Descriptors}}{{println .Digest}}{{end}}",
        ];
        let mut digests: Vec<String> = run(self.regctl().args(list).arg(&subject))
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(
            digests.len(),
            artifact_types.len(),
            "referrers of {subject}: {digests:?}"
        );
        digests.sort();
        digests
    }

    fn put_artifact(&self, artifact_type: &str, place: &[&str]) {
        let file = self.folder.join("artifact.txt");
        let text = self.project.artifact_text(artifact_type);
        std::fs::write(&file, text).expect("write a file");
        run(self
            .regctl()
            .args(["artifact", "put", "--artifact-type", artifact_type])
            .args(["--file-media-type", "text/plain", "--file"])
            .arg(&file)
            .args(place));
    }

    fn chart(&self, name: &'static str) -> Image {
        let templates = self.folder.join(name).join("templates");
        std::fs::create_dir_all(templates).expect("make a folder");
        let about = format!("apiVersion: v2\nname: {name}\nversion: {CHART_VERSION}\n");
        std::fs::write(self.folder.join(name).join("Chart.yaml"), about).expect("write a file");
        let values = format!("greeting: {}", self.project.greeting(name));
        std::fs::write(self.folder.join(name).join("values.yaml"), values).expect("write a file");

        let archive = format!("{name}-{CHART_VERSION}.tgz");
        let registry = format!("oci://{}", self.registry);
        run(command("helm", self.folder).args(["package", name]));
        run(command("helm", self.folder).args(["push", &archive, &registry, "--plain-http"]));
        self.pushed(name, CHART_VERSION)
    }
}
