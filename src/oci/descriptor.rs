//! Descriptors (image-spec, descriptor.md), read leniently and written exactly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Digest, digest::DigestError};

/// What one document says of another: media type, digest, size.
///
/// Only the digest must be right. Any other member of the wrong type counts as absent, since registries serve, and
/// clients pull, documents with such mistakes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Map<String, Value>")]
pub struct Descriptor {
    /// Empty if the document says none.
    pub media_type: String,
    pub digest: Digest,
    /// Bytes. Absent in some old documents; what cannot be a size (negative, beyond 2⁶³) counts as absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Everything else (platform, urls, data, …), kept as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl TryFrom<Map<String, Value>> for Descriptor {
    type Error = DigestError;

    fn try_from(mut members: Map<String, Value>) -> Result<Self, DigestError> {
        let digest = members.remove("digest");
        let digest = digest
            .as_ref()
            .and_then(Value::as_str)
            .ok_or(DigestError::Malformed)?
            .parse()?;
        let size = members.remove("size").and_then(|size| size.as_u64());
        Ok(Self {
            media_type: text(members.remove("mediaType")).unwrap_or_default(),
            digest,
            size: size.filter(|size| i64::try_from(*size).is_ok()),
            artifact_type: text(members.remove("artifactType")),
            annotations: members
                .remove("annotations")
                .and_then(|value| serde_json::from_value(value).ok()),
            other: members,
        })
    }
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_full_descriptor_is_written_as_it_was_read() {
        let document = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": DIGEST,
            "size": 7682,
            "artifactType": "application/example",
            "annotations": {"org.example": "1"},
            "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
            "urls": ["https://example.com/x"],
        });
        let descriptor: Descriptor = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(descriptor.size, Some(7682));
        assert_eq!(descriptor.other.len(), 2);
        assert_eq!(serde_json::to_value(descriptor).unwrap(), document);
    }

    #[test]
    fn what_is_no_size_counts_as_absent() {
        for size in [
            json!(null),
            json!(-1),
            json!("12"),
            json!(1.5),
            json!(u64::MAX),
        ] {
            let descriptor: Descriptor =
                serde_json::from_value(json!({"digest": DIGEST, "size": size})).unwrap();
            assert_eq!(descriptor.size, None);
        }
    }

    #[test]
    fn members_of_a_wrong_type_count_as_absent() {
        let document = json!({"digest": DIGEST, "mediaType": null, "artifactType": 1, "annotations": {"a": 1}});
        let descriptor: Descriptor = serde_json::from_value(document).unwrap();
        assert_eq!(
            (descriptor.media_type.as_str(), descriptor.artifact_type),
            ("", None)
        );
        assert_eq!(descriptor.annotations, None);
    }

    #[test]
    fn a_descriptor_needs_a_digest() {
        for document in [
            json!({}),
            json!({"digest": 1}),
            json!({"digest": "sha256:00"}),
            json!([]),
        ] {
            assert!(serde_json::from_value::<Descriptor>(document).is_err());
        }
    }
}
