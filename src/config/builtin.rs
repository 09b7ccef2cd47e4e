//! The registries that are mirrored without being asked for.

use url::Url;

use super::Provider;

/// A public registry: a remote and a mirror project of the same name.
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    pub(super) provider: Provider,
    pub(super) url: &'static str,
    pub(super) hosts: &'static [&'static str],
}

impl BuiltIn {
    pub(super) fn parsed_url(&self) -> Url {
        Url::parse(self.url).expect("the built-in URLs are valid")
    }
}

const fn registry(
    name: &'static str,
    provider: Provider,
    url: &'static str,
    hosts: &'static [&'static str],
) -> BuiltIn {
    BuiltIn {
        name,
        provider,
        url,
        hosts,
    }
}

/// The one whose project completes names that start with no project's name.
pub(super) const DEFAULT: &str = "docker.io";

pub(super) const REGISTRIES: [BuiltIn; 7] = [
    registry(
        DEFAULT,
        Provider::DockerHub,
        "https://registry-1.docker.io",
        &["docker.io", "index.docker.io", "registry-1.docker.io"],
    ),
    registry("ghcr.io", Provider::Ghcr, "https://ghcr.io", &["ghcr.io"]),
    registry("quay.io", Provider::Quay, "https://quay.io", &["quay.io"]),
    registry(
        "registry.k8s.io",
        Provider::DockerRegistry,
        "https://registry.k8s.io",
        &["registry.k8s.io"],
    ),
    registry("gcr.io", Provider::Google, "https://gcr.io", &["gcr.io"]),
    registry(
        "mcr.microsoft.com",
        Provider::DockerRegistry,
        "https://mcr.microsoft.com",
        &["mcr.microsoft.com"],
    ),
    registry(
        "public.ecr.aws",
        Provider::DockerRegistry,
        "https://public.ecr.aws",
        &["public.ecr.aws"],
    ),
];

/// The built-in registry of this name. What a `[[remote]]` or `[[project]]` of its name leaves out is taken from here.
pub(super) fn named(name: &str) -> Option<&'static BuiltIn> {
    REGISTRIES.iter().find(|registry| registry.name == name)
}
