//! Header names that the `http` crate does not have.

use http::HeaderName;

/// Digest of the manifest or blob in the answer.
pub const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `registry/2.0` on every answer below `/v2/`; old clients look for it.
pub const DOCKER_DISTRIBUTION_API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
/// Which filters a referrer list went through (`artifactType`).
pub const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// Echo of `?ns=` (distribution-spec, "Registry Proxying").
pub const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// What a tag is since which write (`TagState`), between instances of this program: in a question by tag (any value) it asks
/// for that; in a PUT or DELETE by tag it is what is to be; in the answers to them what is here.
pub const ENTREPOT_TAG_STATE: HeaderName = HeaderName::from_static("entrepot-tag-state");
/// Where a mirror's answer came from: `hit`, `miss`, `joined`, `stale`, `bypass`.
pub const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// Digest of the subject that a pushed manifest names: the registry keeps the list of referrers.
pub const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// A tag that now points to the manifest that was pushed by its digest.
pub const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// Chunks of an upload, but for the last one, had better have as many bytes.
pub const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// The id of an upload session; Docker looks for it.
pub const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
