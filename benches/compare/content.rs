//! What is pulled: random blobs, and a manifest of them.

use anyhow::{Result, ensure};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

/// The repository that all content is in. Every server here answers for it under this name.
pub(crate) const REPOSITORY: &str = "bench/image";
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const MANIFEST_BYTES: usize = 2048;

/// Something that was pushed, and how it is asked for.
#[derive(Clone)]
pub(crate) struct Content {
    /// Of a request, without host.
    pub(crate) path: String,
    pub(crate) bytes: usize,
    pub(crate) digest: String,
}

impl Content {
    pub(crate) fn blob(body: &[u8]) -> Self {
        let digest = digest(body);
        Self {
            path: format!("/v2/{REPOSITORY}/blobs/{digest}"),
            bytes: body.len(),
            digest,
        }
    }

    pub(crate) fn manifest(body: &[u8], reference: &str) -> Self {
        let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
        Self {
            path,
            bytes: body.len(),
            digest: digest(body),
        }
    }

    pub(crate) fn check(&self, body: &[u8]) -> Result<()> {
        let received = digest(body);
        ensure!(received == self.digest, "wrong content: {received}");
        Ok(())
    }
}

pub(crate) fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

pub(crate) fn digest(body: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(body)))
}

/// A manifest of 2 KiB whose config is the first blob.
pub(crate) fn manifest(blobs: &[Content]) -> Vec<u8> {
    let descriptor = |blob: &Content, kind: &str| {
        let media_type = format!("application/vnd.oci.image.{kind}");
        serde_json::json!({ "mediaType": media_type, "digest": blob.digest, "size": blob.bytes })
    };
    let layers: Vec<_> = blobs[1..]
        .iter()
        .map(|blob| descriptor(blob, "layer.v1.tar"))
        .collect();
    let with_filler = |filler: usize| {
        let document = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(&blobs[0], "config.v1+json"),
            "layers": layers,
            "annotations": { "filler": "x".repeat(filler) },
        });
        document.to_string().into_bytes()
    };
    let bare = with_filler(0).len();
    with_filler(MANIFEST_BYTES.saturating_sub(bare))
}
