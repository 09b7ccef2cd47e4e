//! What an answer says of a manifest: its digest, checked, and its media type.

use http::{HeaderMap, header};
use serde::de::IgnoredAny;

use crate::oci::{
    Algorithm, Digest, Manifest, ManifestKind, Reference, TagState,
    header::{DOCKER_CONTENT_DIGEST, ENTREPOT_TAG_STATE},
    media_type,
};

/// `Docker-Content-Digest`, if it is there and is a digest.
pub(super) fn announced_digest(headers: &HeaderMap) -> Option<Digest> {
    headers
        .get(DOCKER_CONTENT_DIGEST)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// `Entrepot-Tag-State`: what a tag is there, and since which write.
pub(super) fn tag_state(headers: &HeaderMap) -> Option<TagState> {
    let value = headers.get(ENTREPOT_TAG_STATE)?;
    value.to_str().ok()?.parse().ok()
}

/// The digest of a manifest, which agrees with the one asked for or, for a tag, with the one announced. Bytes that have the
/// digest asked for are right, whatever the header says.
pub(super) fn digest(
    bytes: &[u8],
    asked: &Reference,
    announced: Option<Digest>,
) -> Result<Digest, String> {
    let (expected, whose) = match asked {
        Reference::Digest(digest) => (Some(digest.clone()), "asked for"),
        Reference::Tag(_) => (announced, "announced"),
    };
    match expected {
        Some(digest) if !digest.verifies(bytes) => Err(format!(
            "answers with content that does not have the digest {whose}, {digest}"
        )),
        Some(digest) => Ok(digest),
        // Nobody vouches for these bytes: they are at least to look like a manifest.
        None if serde_json::from_slice::<IgnoredAny>(bytes).is_err() => {
            Err("answers with what is no manifest".to_owned())
        }
        None => Ok(Algorithm::Sha256.digest(bytes)),
    }
}

/// What captive portals and proxies answer instead of a registry.
pub(super) fn is_web_page(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|said| said == "text/html")
}

/// `Content-Type` without parameters, unless it says nothing.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    (!essence.is_empty()).then_some(essence)
}

/// `content_type`, unless it is what file servers say of any JSON, or what no manifest is.
pub(super) fn specific_type(headers: &HeaderMap) -> Option<String> {
    content_type(headers).filter(|said| said.starts_with("application/") && !is_generic(said))
}

/// The media type of a manifest: by the answer's header if that names a known one, else the document's own word, which its
/// digest covers, else another word of the header that may be one of a manifest, else by its shape.
pub(super) fn manifest_type(headers: &HeaderMap, bytes: &[u8]) -> String {
    let said = specific_type(headers);
    if let Some(known) = said.as_ref().filter(|said| is_known(said)) {
        return known.clone();
    }
    let manifest = Manifest::parse(bytes);
    let shape = match manifest.kind {
        ManifestKind::Index => Some(media_type::OCI_INDEX),
        ManifestKind::Manifest => Some(media_type::OCI_MANIFEST),
        ManifestKind::Other => None,
    };
    manifest
        .media_type
        .or(said)
        .or(shape.map(str::to_owned))
        .or_else(|| content_type(headers))
        .unwrap_or_else(|| media_type::OCTET_STREAM.to_owned())
}

/// A type that manifests are known to have.
pub(super) fn is_known(media_type: &str) -> bool {
    ManifestKind::of(media_type) != ManifestKind::Other
}

/// What file servers say of any JSON.
fn is_generic(content_type: &str) -> bool {
    matches!(
        content_type,
        media_type::OCTET_STREAM | "binary/octet-stream" | "text/plain" | "application/json"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

    fn typed(content_type: Option<&str>, bytes: &[u8]) -> String {
        let headers = content_type.map(|text| (header::CONTENT_TYPE, text.parse().unwrap()));
        manifest_type(&headers.into_iter().collect(), bytes)
    }

    #[test]
    fn the_media_type_is_the_headers_then_the_documents_then_the_shape() {
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        assert_eq!(
            typed(Some(&format!("{docker}; charset=utf-8")), INDEX),
            docker
        );
        let inside = format!(r#"{{"mediaType":"{docker}","config":{{}},"layers":[]}}"#);
        assert_eq!(typed(Some("text/plain"), inside.as_bytes()), docker);
        assert_eq!(typed(None, INDEX), media_type::OCI_INDEX);
        assert_eq!(
            typed(Some("application/json"), INDEX),
            media_type::OCI_INDEX
        );
        assert_eq!(typed(Some("application/json"), b"[]"), "application/json");
        assert_eq!(typed(None, b"?"), media_type::OCTET_STREAM);
    }

    #[test]
    fn a_header_that_names_no_manifest_type_does_not_overrule_the_document() {
        let vendor = "application/vnd.future.manifest.v9+json";
        let own = format!(
            r#"{{"mediaType":"{}","layers":[]}}"#,
            media_type::OCI_MANIFEST
        );
        for wrong in ["image/png", vendor, "text/x.strange"] {
            let read = typed(Some(wrong), own.as_bytes());
            assert_eq!(read, media_type::OCI_MANIFEST, "{wrong}");
        }
        // The document says nothing: a type that may be right stays, and one that cannot be does not.
        assert_eq!(typed(Some(vendor), INDEX), vendor);
        assert_eq!(typed(Some("image/png"), INDEX), media_type::OCI_INDEX);
        // No shape is known of it either.
        assert_eq!(typed(Some("text/x.strange"), b"?"), "text/x.strange");
    }

    #[test]
    fn the_digest_is_of_the_algorithm_asked_for_then_of_the_one_announced() {
        let wide = Algorithm::Sha512.digest(INDEX);
        let short = Algorithm::Sha256.digest(INDEX);
        let tag = Reference::Tag("latest".parse().unwrap());
        assert_eq!(digest(INDEX, &tag, None), Ok(short.clone()));
        assert_eq!(digest(INDEX, &tag, Some(wide.clone())), Ok(wide.clone()));
        let asked = Reference::Digest(wide.clone());
        assert_eq!(digest(INDEX, &asked, Some(short.clone())), Ok(wide.clone()));
        let wrong = Algorithm::Sha256.digest(b"other");
        assert_eq!(digest(INDEX, &asked, Some(wrong)), Ok(wide));
        assert!(digest(b"other", &asked, None).is_err());
        assert!(digest(b"<html>", &tag, None).is_err());
        assert!(digest(b"other", &tag, Some(short)).is_err());
    }
}
