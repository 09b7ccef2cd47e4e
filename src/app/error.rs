//! Why the process does not start.

use std::{io, net::SocketAddr};

use super::tls::TlsError;
use crate::{
    access::{GateError, HtpasswdError, OwnFileError},
    client::{PosterError, SetupError},
    cluster::JoinError,
    meta::MetaError,
    settings::SettingsError,
    store::{ObjectSetupError, StoreError},
    transfer::ReconcileError,
};

/// Why the process does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file that a remote names.
    #[error(transparent)]
    Client(#[from] SetupError),
    /// A file that a webhook names.
    #[error(transparent)]
    Webhook(#[from] PosterError),
    /// The files of `server.tls`.
    #[error("`server.tls`: {0}")]
    Tls(#[from] TlsError),
    /// `storage.url` and `[storage.options]`.
    #[error(transparent)]
    Objects(#[from] ObjectSetupError),
    #[error("cannot open the store: {0}")]
    Store(#[from] StoreError),
    #[error("cannot open the database: {0}")]
    Meta(#[from] MetaError),
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The file of `access.htpasswd`.
    #[error("`access.htpasswd`: {0}")]
    Htpasswd(#[from] HtpasswdError),
    #[error(transparent)]
    Gate(#[from] GateError),
    /// A password or a key that is made when the configuration names none.
    #[error(transparent)]
    OwnFile(#[from] OwnFileError),
    #[error("cannot read projects and remotes: {0}")]
    Settings(#[from] SettingsError),
    #[error("cannot listen on {address}: {source}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

impl From<ReconcileError> for StartError {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Store(error) => Self::Store(error),
            ReconcileError::Meta(error) => Self::Meta(error),
        }
    }
}

impl StartError {
    /// True when the configuration is to be changed, and nothing was bound or written.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Client(_) | Self::Tls(_) | Self::Objects(_) | Self::Htpasswd(_)
        )
    }
}
