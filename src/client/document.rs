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

/// The digest of a manifest, which agrees with the one asked for and the one announced.
pub(super) fn digest(
    bytes: &[u8],
    asked: &Reference,
    announced: Option<Digest>,
) -> Result<Digest, String> {
    let asked = match asked {
        Reference::Digest(digest) => Some(digest),
        Reference::Tag(_) => None,
    };
    for (digest, whose) in [(asked, "asked for"), (announced.as_ref(), "announced")] {
        if let Some(digest) = digest.filter(|digest| !digest.verifies(bytes)) {
            return Err(format!(
                "answers with content that does not have the digest {whose}, {digest}"
            ));
        }
    }
    match asked.cloned().or(announced) {
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

/// `content_type`, unless it is what file servers say of any JSON.
pub(super) fn specific_type(headers: &HeaderMap) -> Option<String> {
    content_type(headers).filter(|said| !is_generic(said))
}

/// The media type of a manifest: by the answer's header, else the document's own word, else by its shape.
pub(super) fn manifest_type(headers: &HeaderMap, bytes: &[u8]) -> String {
    if let Some(said) = specific_type(headers) {
        return said;
    }
    let manifest = Manifest::parse(bytes);
    let shape = match manifest.kind {
        ManifestKind::Index => Some(media_type::OCI_INDEX),
        ManifestKind::Manifest => Some(media_type::OCI_MANIFEST),
        ManifestKind::Other => None,
    };
    manifest
        .media_type
        .or(shape.map(str::to_owned))
        .or_else(|| content_type(headers))
        .unwrap_or_else(|| media_type::OCTET_STREAM.to_owned())
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
    fn the_digest_is_of_the_algorithm_asked_for_then_of_the_one_announced() {
        let wide = Algorithm::Sha512.digest(INDEX);
        let short = Algorithm::Sha256.digest(INDEX);
        let tag = Reference::Tag("latest".parse().unwrap());
        assert_eq!(digest(INDEX, &tag, None), Ok(short.clone()));
        assert_eq!(digest(INDEX, &tag, Some(wide.clone())), Ok(wide.clone()));
        let asked = Reference::Digest(wide.clone());
        assert_eq!(digest(INDEX, &asked, Some(short.clone())), Ok(wide));
        assert!(digest(b"other", &asked, None).is_err());
        assert!(digest(b"<html>", &tag, None).is_err());
        assert!(digest(b"other", &tag, Some(short)).is_err());
    }
}
