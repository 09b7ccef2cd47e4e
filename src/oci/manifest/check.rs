//! The strict reader of what is pushed: a document that clients could read in two ways, or that names something which
//! nobody can look for, is refused.

use std::fmt;

use serde::{
    Deserialize,
    de::{DeserializeSeed, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Manifest, ManifestKind};
use crate::oci::{Digest, media_type};

/// Why a document is no manifest that can be pushed. Messages are for clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("a manifest has at most {} bytes", Manifest::MAX_LENGTH)]
    TooLarge,
    #[error("the manifest is not a JSON object: {0}")]
    Json(String),
    #[error("neither `Content-Type` nor `mediaType` says what the manifest is")]
    NoMediaType,
    #[error("`Content-Type` is `{said}`, and the manifest says `{inside}`")]
    OtherMediaType { said: String, inside: String },
    #[error("`schemaVersion` must be 2")]
    SchemaVersion,
    /// Clients would disagree on what it is (CVE-2021-41190).
    #[error("a manifest has either `manifests` or `config` and `layers`")]
    Ambiguous,
    #[error("`{member}` is missing")]
    Absent { member: &'static str },
    #[error("`{member}` is not valid: {problem}")]
    Member {
        member: &'static str,
        problem: String,
    },
}

/// The members whose shape is checked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: Option<serde_json::Number>,
    media_type: Option<String>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    #[serde(borrow)]
    layers: Option<&'a RawValue>,
    #[serde(borrow)]
    blobs: Option<&'a RawValue>,
    #[serde(borrow)]
    manifests: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
}

/// image-spec, descriptor.md: these are REQUIRED.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read for their types alone")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: i64,
}

impl Manifest {
    /// Reads what a client pushes as `content_type`. Gives the media type, too: the header's, or else the document's own.
    ///
    /// # Errors
    /// What is not what its media type says, or names something without a digest that can be verified here. Of a media
    /// type that is not known a JSON object is enough.
    pub fn check(
        bytes: &[u8],
        content_type: Option<&str>,
    ) -> Result<(Self, String), ManifestError> {
        if bytes.len() > Self::MAX_LENGTH {
            return Err(ManifestError::TooLarge);
        }
        // RFC 8259, 8.1; the reader of JSON does not look at what it skips.
        let json = str::from_utf8(bytes).map_err(|error| ManifestError::Json(error.to_string()))?;
        let no_json = |error: serde_json::Error| ManifestError::Json(error.to_string());
        let document: Document<'_> = serde_json::from_str(json).map_err(no_json)?;
        let media_type = document.agreed_type(content_type)?;
        let kind = document.kind(&media_type);
        document.check(kind, &media_type)?;
        let manifest = Self::parse_as(json, kind).map_err(no_json)?;
        Ok((manifest, media_type))
    }
}

impl Document<'_> {
    /// distribution-spec: parameters of the header are ignored; what the document says must be what the header says.
    fn agreed_type(&self, content_type: Option<&str>) -> Result<String, ManifestError> {
        let said = content_type
            .and_then(|text| text.split(';').next())
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let inside = self.media_type.as_deref().filter(|text| !text.is_empty());
        match (said, inside) {
            (Some(said), Some(inside)) if said != inside => Err(ManifestError::OtherMediaType {
                said: said.to_owned(),
                inside: inside.to_owned(),
            }),
            (Some(agreed), _) | (None, Some(agreed)) => Ok(agreed.to_owned()),
            (None, None) => Err(ManifestError::NoMediaType),
        }
    }

    fn kind(&self, media_type: &str) -> ManifestKind {
        match ManifestKind::of(media_type) {
            ManifestKind::Other => match (self.manifests.is_some(), self.names_blobs()) {
                (true, false) => ManifestKind::Index,
                (false, true) => ManifestKind::Manifest,
                _ => ManifestKind::Other,
            },
            known => known,
        }
    }

    fn names_blobs(&self) -> bool {
        self.config.is_some() || self.layers.is_some() || self.blobs.is_some()
    }

    fn check(&self, kind: ManifestKind, media_type: &str) -> Result<(), ManifestError> {
        if kind == ManifestKind::Other {
            return Ok(());
        }
        if self.manifests.is_some() && (self.config.is_some() || self.layers.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        let is_known = ManifestKind::of(media_type) != ManifestKind::Other;
        // The artifact manifest has no such member.
        let versioned = is_known && media_type != media_type::OCI_ARTIFACT;
        let version = self
            .schema_version
            .as_ref()
            .and_then(serde_json::Number::as_i64);
        if versioned && version != Some(2) {
            return Err(ManifestError::SchemaVersion);
        }
        let required: &[_] = match kind {
            ManifestKind::Index => &[("manifests", self.manifests)],
            ManifestKind::Manifest if versioned => {
                &[("config", self.config), ("layers", self.layers)]
            }
            _ => &[],
        };
        if let Some((member, _)) = required.iter().find(|(_, value)| value.is_none()) {
            return Err(ManifestError::Absent { member });
        }
        one("config", self.config)?;
        one("subject", self.subject)?;
        all("layers", self.layers)?;
        all("blobs", self.blobs)?;
        all("manifests", self.manifests)
    }
}

fn one(member: &'static str, value: Option<&RawValue>) -> Result<(), ManifestError> {
    let Some(value) = value else { return Ok(()) };
    let read = serde_json::from_str::<Descriptor>(value.get());
    read.map(drop).map_err(|error| wrong(member, &error))
}

fn all(member: &'static str, value: Option<&RawValue>) -> Result<(), ManifestError> {
    let Some(value) = value else { return Ok(()) };
    let read = Descriptors.deserialize(&mut serde_json::Deserializer::from_str(value.get()));
    read.map_err(|error| wrong(member, &error))
}

fn wrong(member: &'static str, error: &serde_json::Error) -> ManifestError {
    ManifestError::Member {
        member,
        problem: error.to_string(),
    }
}

/// Reads an array of descriptors without keeping them.
struct Descriptors;

impl<'de> DeserializeSeed<'de> for Descriptors {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Descriptors {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of descriptors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element::<Descriptor>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor() -> Value {
        json!({"mediaType": "application/octet-stream", "digest": DIGEST, "size": 0})
    }

    fn image() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(),
            "layers": [descriptor()],
        })
    }

    fn check(document: &Value, content_type: Option<&str>) -> Result<String, ManifestError> {
        Manifest::check(document.to_string().as_bytes(), content_type).map(|(_, kind)| kind)
    }

    #[test]
    fn known_documents_are_manifests() {
        let index =
            json!({"schemaVersion": 2, "manifests": [descriptor()], "subject": descriptor()});
        let empty = json!({"schemaVersion": 2, "config": descriptor(), "layers": []});
        let artifact = json!({"mediaType": media_type::OCI_ARTIFACT, "blobs": [descriptor()]});
        let other = json!({"anything": ["at", "all"]});
        for (document, content_type) in [
            (image(), media_type::OCI_MANIFEST),
            (index.clone(), media_type::OCI_INDEX),
            (index, media_type::DOCKER_LIST),
            (empty, media_type::DOCKER_MANIFEST),
            (artifact, media_type::OCI_ARTIFACT),
            (other, "application/vnd.example.thing+json"),
        ] {
            assert_eq!(
                check(&document, Some(content_type)).as_deref(),
                Ok(content_type),
                "{document}"
            );
        }
    }

    #[test]
    fn the_media_type_is_the_headers_without_parameters_or_the_documents() {
        let with_parameter = format!("{}; charset=utf-8", media_type::OCI_MANIFEST);
        assert_eq!(
            check(&image(), Some(&with_parameter)).as_deref(),
            Ok(media_type::OCI_MANIFEST)
        );
        assert_eq!(
            check(&image(), None).as_deref(),
            Ok(media_type::OCI_MANIFEST)
        );
        assert!(matches!(
            check(&image(), Some(media_type::DOCKER_MANIFEST)),
            Err(ManifestError::OtherMediaType { .. })
        ));
        assert_eq!(check(&json!({}), None), Err(ManifestError::NoMediaType));
    }

    #[test]
    fn what_a_reader_would_take_for_a_manifest_that_names_nothing_is_refused() {
        let with = |more: &[u8]| {
            let document = image().to_string();
            let bytes = [b"{", more, &document.as_bytes()[1..]].concat();
            Manifest::check(&bytes, None).map(|(manifest, _)| manifest.blobs.len())
        };
        assert_eq!(with(b"\"annotations\":{},"), Ok(1));
        for more in [
            &b"\"artifactType\":\"\x80\","[..],
            b"\"anything\":\"\x80\",",
            b"\"annotations\":{},\"annotations\":{},",
        ] {
            let refused = with(more);
            assert!(
                matches!(refused, Err(ManifestError::Json(_))),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn what_is_not_what_it_says_is_refused() {
        let changed = |change: fn(&mut Value)| {
            let mut document = image();
            change(&mut document);
            check(&document, None)
        };
        assert_eq!(
            changed(|d| d["schemaVersion"] = json!(1)),
            Err(ManifestError::SchemaVersion)
        );
        assert_eq!(
            changed(|d| d["manifests"] = json!([])),
            Err(ManifestError::Ambiguous)
        );
        assert_eq!(
            changed(|d| d["layers"] = Value::Null),
            Err(ManifestError::Absent { member: "layers" })
        );
        for change in [
            (|d: &mut Value| d["layers"] = json!({})) as fn(&mut Value),
            |d| d["layers"][0]["digest"] = json!("sha256:00"),
            |d| d["layers"][0]["digest"] = json!(format!("blake3:{}", &DIGEST[7..])),
            |d| d["layers"][0]["size"] = json!("12"),
            |d| d["layers"] = json!([null]),
            |d| d["config"]["mediaType"] = Value::Null,
            |d| d["subject"] = json!({"digest": 1}),
        ] {
            assert!(matches!(changed(change), Err(ManifestError::Member { .. })));
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for bytes in [&b""[..], b"[]", b"1", b"{", b"\xff"] {
            let checked = Manifest::check(bytes, Some("a/b"));
            assert!(matches!(checked, Err(ManifestError::Json(_))));
        }
        let large = vec![b' '; Manifest::MAX_LENGTH + 1];
        assert_eq!(
            Manifest::check(&large, Some("a/b")).map(drop),
            Err(ManifestError::TooLarge)
        );
    }
}
