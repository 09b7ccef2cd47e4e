//! Which manifests of an index are wanted.

use futures_util::StreamExt;
use serde_json::{Map, Value};

use super::{Job, Platforms, SendError, Source, SourceManifest};
use crate::oci::{Descriptor, Digest, Manifest, ManifestKind, Name, Platform, PlatformPattern};

/// A config that is larger says nothing of its platform.
const MAX_CONFIG_BYTES: usize = 1 << 20;
/// By this annotation an attestation names the manifest that it is about (Docker's `BuildKit`).
const ATTESTED: &str = "vnd.docker.reference.digest";

impl Job<'_> {
    /// The manifest to send for the platforms that are asked for; `None`: nothing of it is for them.
    pub(super) async fn choose(
        &self,
        manifest: SourceManifest,
    ) -> Result<Option<SourceManifest>, SendError> {
        if matches!(self.order.platforms, Platforms::All | Platforms::Keep(_)) {
            return Ok(Some(manifest));
        }
        let parsed = Manifest::parse(&manifest.bytes);
        if parsed.kind != ManifestKind::Index {
            let Platforms::Rewrite(patterns) = &self.order.platforms else {
                return Ok(Some(manifest));
            };
            let platform = image_platform(&**self.source, &self.order.from, &parsed).await?;
            let is_wanted = platform.is_none_or(|platform| is_one_of(&platform, patterns));
            return Ok(is_wanted.then_some(manifest));
        }
        let wanted = self.wanted(&parsed.manifests);
        if wanted.is_empty() {
            return Ok(None);
        }
        if wanted.len() == parsed.manifests.len() {
            return Ok(Some(manifest));
        }
        Ok(Some(rewritten(&manifest, &wanted)))
    }

    /// Those manifests of an index that are sent.
    pub(super) fn wanted(&self, manifests: &[Descriptor]) -> Vec<Descriptor> {
        match &self.order.platforms {
            Platforms::All => manifests.to_vec(),
            Platforms::Rewrite(patterns) => {
                chosen(manifests, |platform| is_one_of(platform, patterns))
            }
            Platforms::Keep(digests) | Platforms::Only(digests) => {
                let manifests = manifests.iter();
                let wanted = manifests.filter(|manifest| digests.contains(&manifest.digest));
                wanted.cloned().collect()
            }
        }
    }
}

/// What an image that is in no index is for, by its config. `None`: it does not say.
pub async fn image_platform(
    source: &dyn Source,
    name: &Name,
    image: &Manifest,
) -> Result<Option<Platform>, SendError> {
    // The config is the first of its blobs, and the only one that is JSON.
    let configs = image.blobs.iter();
    let Some(config) = configs
        .filter(|blob| blob.media_type.ends_with("+json"))
        .find(|blob| blob.size.is_none_or(|size| size <= MAX_CONFIG_BYTES as u64))
    else {
        return Ok(None);
    };
    // All of it, if it is small.
    let mut body = source.blob(name, &config.digest, 0).await?.body;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > MAX_CONFIG_BYTES {
            break;
        }
    }
    let members: Map<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(Platform::read(&members))
}

/// The manifests whose platforms are taken, or that say nothing of theirs, with what attests them.
pub fn chosen(manifests: &[Descriptor], takes: impl Fn(&Platform) -> bool) -> Vec<Descriptor> {
    let is_wanted = |manifest: &Descriptor| {
        let platform = Platform::of(manifest);
        platform.is_none_or(|platform| takes(&platform))
    };
    let wanted: Vec<&Digest> = manifests
        .iter()
        .filter(|manifest| is_wanted(manifest))
        .map(|manifest| &manifest.digest)
        .collect();
    let attests_wanted = |manifest: &Descriptor| {
        let annotations = manifest.annotations.as_ref();
        let about = annotations.and_then(|all| all.get(ATTESTED));
        about.is_some_and(|about| wanted.iter().any(|digest| digest.to_string() == *about))
    };
    let chosen = manifests
        .iter()
        .filter(|manifest| wanted.contains(&&manifest.digest) || attests_wanted(manifest));
    chosen.cloned().collect()
}

fn is_one_of(platform: &Platform, patterns: &[PlatformPattern]) -> bool {
    patterns.iter().any(|pattern| pattern.matches(platform))
}

/// The same index with these manifests alone; all else stays as it is.
fn rewritten(index: &SourceManifest, chosen: &[Descriptor]) -> SourceManifest {
    let mut document: Map<String, Value> =
        serde_json::from_slice(&index.bytes).expect("what was read as an index is a JSON object");
    let is_chosen = |entry: &Value| {
        let digest = entry.get("digest").and_then(Value::as_str);
        chosen
            .iter()
            .any(|chosen| Some(chosen.digest.to_string().as_str()) == digest)
    };
    if let Some(Value::Array(manifests)) = document.get_mut("manifests") {
        manifests.retain(is_chosen);
    }
    let bytes = serde_json::to_vec(&document).expect("JSON can be written");
    SourceManifest {
        digest: index.digest.algorithm().digest(&bytes),
        media_type: index.media_type.clone(),
        bytes: bytes.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn index() -> SourceManifest {
        let entry = |content: &str, architecture: &str, annotations: Value| {
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": Digest::sha256(content.as_bytes()),
                "size": 2,
                "platform": {"os": if architecture == "unknown" {"unknown"} else {"linux"}, "architecture": architecture},
                "annotations": annotations,
            })
        };
        let about = json!({ATTESTED: Digest::sha256(b"arm").to_string()});
        let document = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                entry("amd", "amd64", json!({})),
                entry("arm", "arm64", json!({})),
                entry("attestation", "unknown", about),
            ],
            "annotations": {"a": "b"},
        });
        let bytes = serde_json::to_vec(&document).unwrap();
        SourceManifest {
            digest: Digest::sha256(&bytes),
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            bytes: bytes.into(),
        }
    }

    fn for_one(manifests: &[Descriptor], text: &str) -> Vec<Descriptor> {
        let pattern: PlatformPattern = text.parse().unwrap();
        chosen(manifests, |platform| pattern.matches(platform))
    }

    #[test]
    fn an_attestation_goes_with_what_it_attests() {
        let manifests = Manifest::parse(&index().bytes).manifests;
        let of = |text: &str| for_one(&manifests, text).len();
        assert_eq!(of("linux/amd64"), 1);
        assert_eq!(of("linux/arm64"), 2);
        assert_eq!(of("linux/s390x"), 0);
    }

    #[test]
    fn a_rewritten_index_keeps_all_but_the_other_manifests() {
        let index = index();
        let manifests = Manifest::parse(&index.bytes).manifests;
        let new = rewritten(&index, &for_one(&manifests, "linux/arm64"));
        assert!(new.digest.verifies(&new.bytes));
        let document: Value = serde_json::from_slice(&new.bytes).unwrap();
        assert_eq!(document["annotations"]["a"], "b");
        assert_eq!(document["manifests"].as_array().unwrap().len(), 2);
        assert_eq!(
            document["manifests"][0]["platform"]["architecture"],
            "arm64"
        );
    }
}
