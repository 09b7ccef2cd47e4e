//! The services, each by its own builder.

use std::{str::FromStr, sync::Arc, time::Duration};

use object_store::{
    ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder, multipart::MultipartStore,
};

use super::{ObjectSetupError, http::Connector};
use crate::config::{ObjectService, ObjectStorage};

/// How long to wait for a connection, unless an option says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What we need of a service.
pub(super) trait Backend: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Backend for T {}

/// Builds the client of a bucket. Nothing is asked.
pub(super) fn connect(
    storage: &ObjectStorage,
    retry: RetryConfig,
) -> Result<Arc<dyn Backend>, ObjectSetupError> {
    let built = match storage.service {
        ObjectService::S3 => s3(storage, retry),
        #[cfg(feature = "gcs")]
        ObjectService::Gcs => gcs(storage, retry),
        #[cfg(feature = "azure")]
        ObjectService::Azure => azure(storage, retry),
    };
    built.map_err(|error| ObjectSetupError::options(&error))
}

fn client_options() -> ClientOptions {
    ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT)
}

/// Hands each option over by its name.
fn with_options<B, K: FromStr<Err = object_store::Error>>(
    storage: &ObjectStorage,
    builder: B,
    set: impl Fn(B, K, String) -> B,
) -> object_store::Result<B> {
    let mut builder = builder;
    for (name, value) in &storage.options {
        builder = set(builder, name.parse()?, value.expose().to_owned());
    }
    Ok(builder)
}

fn s3(storage: &ObjectStorage, retry: RetryConfig) -> object_store::Result<Arc<dyn Backend>> {
    let builder = AmazonS3Builder::new()
        .with_client_options(client_options())
        .with_http_connector(Connector)
        .with_retry(retry);
    let builder = with_options(storage, builder, AmazonS3Builder::with_config)?;
    Ok(Arc::new(builder.with_bucket_name(&storage.bucket).build()?))
}

#[cfg(feature = "gcs")]
fn gcs(storage: &ObjectStorage, retry: RetryConfig) -> object_store::Result<Arc<dyn Backend>> {
    use object_store::gcp::GoogleCloudStorageBuilder;

    let builder = GoogleCloudStorageBuilder::new()
        .with_client_options(client_options())
        .with_http_connector(Connector)
        .with_retry(retry);
    let builder = with_options(storage, builder, GoogleCloudStorageBuilder::with_config)?;
    Ok(Arc::new(builder.with_bucket_name(&storage.bucket).build()?))
}

#[cfg(feature = "azure")]
fn azure(storage: &ObjectStorage, retry: RetryConfig) -> object_store::Result<Arc<dyn Backend>> {
    use object_store::azure::MicrosoftAzureBuilder;

    let builder = MicrosoftAzureBuilder::new()
        .with_client_options(client_options())
        .with_http_connector(Connector)
        .with_retry(retry);
    let builder = with_options(storage, builder, MicrosoftAzureBuilder::with_config)?;
    Ok(Arc::new(
        builder.with_container_name(&storage.bucket).build()?,
    ))
}
