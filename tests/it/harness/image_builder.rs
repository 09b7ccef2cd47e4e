//! `ImageBuilder`: images, indexes, artifacts and charts made of seeded bytes; used by every test that needs content.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::digest::{Algorithm, digest_of};
use super::image::{Image, Manifest, digest_in};
use super::media_type as mt;
use super::random::random_bytes;
use super::tarball::{Compression, File, compress, tar};

/// Says what an image is made of; `build` makes the bytes.
#[derive(Clone, Debug)]
pub(crate) struct ImageBuilder {
    seed: u64,
    algorithm: Algorithm,
    docker: bool,
    media_type: Option<String>,
    layers: Vec<Layer>,
    platforms: Vec<String>,
    config: Option<(String, Bytes)>,
    entrypoint: Vec<String>,
    artifact_type: Option<String>,
    subject: Option<Value>,
    annotations: Map<String, Value>,
}

#[derive(Clone, Debug)]
enum Layer {
    Random {
        media_type: Option<String>,
        size: usize,
    },
    Shared {
        seed: u64,
        size: usize,
    },
    Given {
        media_type: String,
        bytes: Bytes,
    },
    Files {
        compression: Compression,
        files: Vec<File>,
    },
    Foreign {
        url: String,
        size: usize,
    },
}

/// A layer's bytes with what the manifest and the config say about it.
struct BuiltLayer {
    descriptor: Value,
    diff_id: String,
    /// None for a foreign layer, which no registry holds.
    bytes: Option<Bytes>,
}

// === impl ImageBuilder ===

impl ImageBuilder {
    /// An OCI image without layers; the same seed and calls give the same bytes.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            algorithm: Algorithm::Sha256,
            docker: false,
            media_type: None,
            layers: Vec::new(),
            platforms: Vec::new(),
            config: None,
            entrypoint: Vec::new(),
            artifact_type: None,
            subject: None,
            annotations: Map::new(),
        }
    }

    /// A chart as `helm push` writes it, around the given or random archive bytes.
    pub(crate) fn helm_chart(seed: u64, name: &str, version: &str) -> Self {
        let config = json!({"apiVersion": "v2", "name": name, "version": version});
        let meta = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
        let files = [File::new(&format!("{name}/Chart.yaml"), meta)];
        let chart = compress(Compression::Gzip, &tar(&files));
        Self::new(seed)
            .config_as(mt::HELM_CONFIG, config.to_string())
            .layer_given(mt::HELM_CHART, chart)
            .annotation("org.opencontainers.image.title", name)
            .annotation("org.opencontainers.image.version", version)
    }

    /// An OCI 1.1 artifact about `subject`: empty config, one blob of random bytes.
    pub(crate) fn artifact(seed: u64, artifact_type: &str, subject: &Image) -> Self {
        Self::new(seed)
            .artifact_type(artifact_type)
            .subject(subject.descriptor())
            .config_as(mt::OCI_EMPTY, "{}")
            .layer_as(artifact_type, 200)
    }

    /// Docker schema 2 and manifest list media types.
    pub(crate) fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    pub(crate) fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Another media type for the manifest itself.
    pub(crate) fn media_type(mut self, media_type: &str) -> Self {
        self.media_type = Some(media_type.to_owned());
        self
    }

    /// A layer of exactly `size` random bytes (no archive: for tests that do not unpack).
    pub(crate) fn layer(mut self, size: usize) -> Self {
        self.layers.push(Layer::Random {
            media_type: None,
            size,
        });
        self
    }

    /// A layer of random bytes under any media type.
    pub(crate) fn layer_as(mut self, media_type: &str, size: usize) -> Self {
        self.layers.push(Layer::Random {
            media_type: Some(media_type.to_owned()),
            size,
        });
        self
    }

    /// A layer of random bytes under the zstd media type.
    pub(crate) fn zstd_layer(self, size: usize) -> Self {
        self.layer_as(mt::OCI_LAYER_ZSTD, size)
    }

    /// A layer that every image with this seed and size has in common.
    pub(crate) fn shared_layer(mut self, seed: u64, size: usize) -> Self {
        self.layers.push(Layer::Shared { seed, size });
        self
    }

    pub(crate) fn layer_given(mut self, media_type: &str, bytes: impl Into<Bytes>) -> Self {
        self.layers.push(Layer::Given {
            media_type: media_type.to_owned(),
            bytes: bytes.into(),
        });
        self
    }

    /// A real archive, so that real clients can unpack and run it.
    pub(crate) fn files(mut self, compression: Compression, files: &[File]) -> Self {
        self.layers.push(Layer::Files {
            compression,
            files: files.to_vec(),
        });
        self
    }

    /// A layer that the manifest names by URL and the registry does not hold.
    pub(crate) fn foreign_layer(mut self, url: &str, size: usize) -> Self {
        self.layers.push(Layer::Foreign {
            url: url.to_owned(),
            size,
        });
        self
    }

    /// Makes the root an index with one manifest per `os/architecture[/variant]`.
    pub(crate) fn platforms(mut self, platforms: &[&str]) -> Self {
        self.platforms = platforms.iter().map(ToString::to_string).collect();
        self
    }

    pub(crate) fn config_as(mut self, media_type: &str, bytes: impl Into<Bytes>) -> Self {
        self.config = Some((media_type.to_owned(), bytes.into()));
        self
    }

    pub(crate) fn entrypoint(mut self, command: &[&str]) -> Self {
        self.entrypoint = command.iter().map(ToString::to_string).collect();
        self
    }

    pub(crate) fn artifact_type(mut self, artifact_type: &str) -> Self {
        self.artifact_type = Some(artifact_type.to_owned());
        self
    }

    pub(crate) fn subject(mut self, descriptor: Value) -> Self {
        self.subject = Some(descriptor);
        self
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn build(self) -> Image {
        let mut image = Image {
            manifests: Vec::new(),
            blobs: HashMap::new(),
            root: String::new(),
        };
        if self.platforms.is_empty() {
            let manifest = self.build_manifest(&mut image, "linux/amd64", self.seed);
            image.root.clone_from(&manifest.digest);
            image.manifests.push(manifest);
            return image;
        }
        for (nth, platform) in (1_u64..).zip(&self.platforms) {
            let manifest =
                self.build_manifest(&mut image, platform, self.seed.wrapping_add(nth << 32));
            image.manifests.push(manifest);
        }
        let index = self.build_index(&image.manifests);
        image.root.clone_from(&index.digest);
        image.manifests.push(index);
        image
    }

    fn build_manifest(&self, image: &mut Image, platform: &str, seed: u64) -> Manifest {
        let layers: Vec<BuiltLayer> = (1_u64..)
            .zip(&self.layers)
            .map(|(nth, layer)| self.build_layer(layer, seed.wrapping_add(nth << 16)))
            .collect();
        let (config_type, config) = self.build_config(platform, &layers);
        let config_digest = digest_of(self.algorithm, &config);
        let media_type = if self.docker {
            mt::DOCKER_MANIFEST
        } else {
            mt::OCI_MANIFEST
        };
        let media_type = self
            .media_type
            .clone()
            .unwrap_or_else(|| media_type.to_owned());
        let mut document = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {"mediaType": config_type, "digest": config_digest, "size": config.len()},
            "layers": layers.iter().map(|layer| layer.descriptor.clone()).collect::<Vec<_>>(),
        });
        self.add_relations(&mut document);
        image.blobs.insert(config_digest, config);
        for layer in layers {
            if let Some(bytes) = layer.bytes {
                image.blobs.insert(digest_in(&layer.descriptor), bytes);
            }
        }
        self.finish(media_type, &document)
    }

    fn build_index(&self, children: &[Manifest]) -> Manifest {
        let entries: Vec<Value> = children
            .iter()
            .zip(&self.platforms)
            .map(|(child, platform)| {
                let mut entry = child.descriptor();
                entry["platform"] = platform_json(platform);
                entry
            })
            .collect();
        let media_type = if self.docker {
            mt::DOCKER_LIST
        } else {
            mt::OCI_INDEX
        }
        .to_owned();
        let mut document =
            json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
        if !self.annotations.is_empty() {
            document["annotations"] = self.annotations.clone().into();
        }
        self.finish(media_type, &document)
    }

    fn add_relations(&self, document: &mut Value) {
        if let Some(artifact_type) = &self.artifact_type {
            document["artifactType"] = artifact_type.clone().into();
        }
        if let Some(subject) = &self.subject {
            document["subject"] = subject.clone();
        }
        if !self.annotations.is_empty() && self.platforms.is_empty() {
            document["annotations"] = self.annotations.clone().into();
        }
    }

    fn finish(&self, media_type: String, document: &Value) -> Manifest {
        let bytes = Bytes::from(serde_json::to_vec_pretty(document).expect("a value is JSON"));
        Manifest {
            digest: digest_of(self.algorithm, &bytes),
            media_type,
            bytes,
        }
    }

    fn build_config(&self, platform: &str, layers: &[BuiltLayer]) -> (String, Bytes) {
        if let Some(config) = &self.config {
            return config.clone();
        }
        let mut document = platform_json(platform);
        document["created"] = "2026-01-01T00:00:00Z".into();
        document["config"] =
            json!({"Entrypoint": self.entrypoint, "Labels": {"seed": self.seed.to_string()}});
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        document["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        let media_type = if self.docker {
            mt::DOCKER_CONFIG
        } else {
            mt::OCI_CONFIG
        };
        (media_type.to_owned(), document.to_string().into())
    }

    fn build_layer(&self, layer: &Layer, seed: u64) -> BuiltLayer {
        let gzip = if self.docker {
            mt::DOCKER_LAYER_GZIP
        } else {
            mt::OCI_LAYER_GZIP
        };
        match layer {
            Layer::Random { media_type, size } => {
                let media_type = media_type.as_deref().unwrap_or(gzip);
                self.layer_of(media_type, random_bytes(seed, *size))
            }
            Layer::Shared { seed, size } => self.layer_of(gzip, random_bytes(*seed, *size)),
            Layer::Given { media_type, bytes } => self.layer_of(media_type, bytes.clone()),
            Layer::Files { compression, files } => {
                let archive = tar(files);
                let diff_id = digest_of(Algorithm::Sha256, &archive);
                let media_type = match compression {
                    Compression::None if self.docker => mt::DOCKER_LAYER,
                    Compression::None => mt::OCI_LAYER,
                    Compression::Gzip => gzip,
                    Compression::Zstd => mt::OCI_LAYER_ZSTD,
                };
                let bytes = compress(*compression, &archive);
                BuiltLayer {
                    diff_id,
                    ..self.layer_of(media_type, bytes)
                }
            }
            Layer::Foreign { url, size } => {
                let media_type = if self.docker {
                    mt::DOCKER_FOREIGN
                } else {
                    mt::OCI_FOREIGN
                };
                let mut built = self.layer_of(media_type, random_bytes(seed, *size));
                built.descriptor["urls"] = json!([url]);
                BuiltLayer {
                    bytes: None,
                    ..built
                }
            }
        }
    }

    fn layer_of(&self, media_type: &str, bytes: Bytes) -> BuiltLayer {
        let digest = digest_of(self.algorithm, &bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        BuiltLayer {
            descriptor,
            diff_id: digest,
            bytes: Some(bytes),
        }
    }
}

fn platform_json(platform: &str) -> Value {
    let mut parts = platform.split('/');
    let mut value = json!({"os": parts.next(), "architecture": parts.next()});
    if let Some(variant) = parts.next() {
        value["variant"] = variant.into();
    }
    value
}
