//! Header names that the `http` crate does not have.

use http::HeaderName;

pub const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub const DOCKER_DISTRIBUTION_API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
pub const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
pub const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
pub const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
