//! A client of other registries: one [`RegistryClient`] per remote. Layer 1: knows the wire, knows no rows and no store.

pub mod error;
pub mod registry;

pub use error::{ClientError, ErrorKind, SetupError};
pub use registry::{BlobStream, BlobStreamBody, ManifestHead, Patience, RegistryClient, RemoteManifest};
