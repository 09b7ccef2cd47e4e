//! The services of clouds that make what a push needs: asked whether it is there, then told to make it.

use futures_util::future::BoxFuture;

use super::CredentialError;
use crate::client::{
    ClientError, ErrorKind, RegistryClient,
    project::{Made, refusal},
};

/// What makes namespaces or repositories for one registry.
pub(super) trait Service: Send + Sync {
    /// What it makes, and the rights that this takes.
    fn terms(&self) -> Terms;

    fn is_there<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, CredentialError>>;

    fn make<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), CredentialError>>;
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// `namespace` or `repository`.
    pub(super) what: &'static str,
    pub(super) needs: &'static str,
}

/// Makes it, if it is not there.
pub(super) async fn make_at(
    service: &dyn Service,
    client: &RegistryClient,
    name: &str,
) -> Result<Made, ClientError> {
    let looked = service.is_there(name).await;
    match looked {
        Ok(true) => return Ok(Made::There),
        Err(error) if !error.is_refusal => return Err(failed(client, &error)),
        _ => {}
    }
    let error = match service.make(name).await {
        Ok(()) => return Ok(Made::There),
        Err(error) if error.is_refusal => error,
        Err(error) => return Err(failed(client, &error)),
    };
    let Terms { what, needs } = service.terms();
    let why = refusal(client, what, name, needs, &failed(client, &error));
    Ok(match looked {
        // Somebody else may have been first.
        Ok(_) if matches!(service.is_there(name).await, Ok(true)) => Made::There,
        Ok(_) => Made::Refused(why),
        // Who may push need not be allowed to look.
        Err(_) => Made::Unsure(why),
    })
}

/// As other failures of the remote are told.
pub(super) fn failed(client: &RegistryClient, error: &CredentialError) -> ClientError {
    let remote = client.transport.remote();
    match error.is_refusal {
        true => ClientError::new(ErrorKind::Denied, remote, error.detail.clone()),
        false => ClientError::new(ErrorKind::Unreachable, remote, error.to_string()),
    }
}
