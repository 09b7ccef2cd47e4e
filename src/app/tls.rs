//! The server's certificate: read at start, read again when its files change. A bad new one is told of and the old one stays.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::TlsFiles;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(3);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not PEM with what is needed: {source}")]
    Pem {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("{cert} and {key} cannot be used together: {source}")]
    Pair {
        cert: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// When both files were last written.
type Written = (SystemTime, SystemTime);

/// The certificate that new connections get.
#[derive(Debug)]
pub(super) struct Certificates {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
    /// Of the files last looked at, good or bad.
    seen: Mutex<Option<Written>>,
}

impl Certificates {
    pub(super) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let seen = written(&files);
        Ok(Self {
            current: ArcSwap::from_pointee(read(&files)?),
            seen: Mutex::new(seen),
            files,
        })
    }

    /// Looks at the files until the shutdown.
    pub(super) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let this = Arc::clone(&self);
            if let Err(panic) = tokio::task::spawn_blocking(move || this.run_once()).await {
                error!(%panic, "cannot look at the certificate files");
            }
        }
    }

    fn run_once(&self) {
        let written = written(&self.files);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == written {
                return;
            }
            *seen = written;
        }
        match read(&self.files) {
            Ok(certificate) => {
                self.current.store(Arc::new(certificate));
                info!(path = %self.files.cert.display(), "the certificate was read again");
            }
            Err(error) => {
                error!(%error, "the certificate changed and cannot be used, the old one stays: {error}");
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// TLS with HTTP/2 and HTTP/1.1 by ALPN.
pub(super) fn acceptor(certificates: &Arc<Certificates>) -> Result<TlsAcceptor, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificates) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let in_pem = |path: &Path, source| TlsError::Pem {
        path: path.to_owned(),
        source,
    };
    let cert = bytes(&files.cert)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&cert)
        .collect::<Result<_, _>>()
        .map_err(|source| in_pem(&files.cert, source))?;
    if chain.is_empty() {
        return Err(in_pem(&files.cert, pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?)
        .map_err(|source| in_pem(&files.key, source))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| {
        TlsError::Pair {
            cert: files.cert.clone(),
            key: files.key.clone(),
            source,
        }
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn written(files: &TlsFiles) -> Option<Written> {
    let of = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|meta| meta.modified())
            .ok()
    };
    Some((of(&files.cert)?, of(&files.key)?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write_pair(files: &TlsFiles, name: &str, at: u64) {
        let pair = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        fs::write(&files.cert, pair.cert.pem()).unwrap();
        fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
        touch(files, at);
    }

    fn touch(files: &TlsFiles, at: u64) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        for path in [&files.cert, &files.key] {
            fs::File::options()
                .append(true)
                .open(path)
                .unwrap()
                .set_modified(at)
                .unwrap();
        }
    }

    fn files(folder: &tempfile::TempDir) -> TlsFiles {
        TlsFiles {
            cert: folder.path().join("server.crt"),
            key: folder.path().join("server.key"),
        }
    }

    fn leaf(certificates: &Certificates) -> Vec<u8> {
        certificates.current.load().cert[0].to_vec()
    }

    #[test]
    fn changed_files_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        write_pair(&files, "one.example", 1000);
        let certificates = Certificates::load(files.clone()).unwrap();
        let first = leaf(&certificates);
        certificates.run_once();
        assert_eq!(leaf(&certificates), first);
        write_pair(&files, "two.example", 2000);
        certificates.run_once();
        assert_ne!(leaf(&certificates), first);
    }

    #[test]
    fn a_bad_new_certificate_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        write_pair(&files, "one.example", 1000);
        let certificates = Certificates::load(files.clone()).unwrap();
        let first = leaf(&certificates);
        fs::write(&files.cert, "not PEM").unwrap();
        touch(&files, 2000);
        certificates.run_once();
        assert_eq!(leaf(&certificates), first);
        fs::remove_file(&files.cert).unwrap();
        certificates.run_once();
        assert_eq!(leaf(&certificates), first);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        write_pair(&files, "one.example", 1000);
        let other = rcgen::generate_simple_self_signed(["two.example".to_owned()]).unwrap();
        fs::write(&files.key, other.signing_key.serialize_pem()).unwrap();
        assert!(matches!(
            Certificates::load(files),
            Err(TlsError::Pair { .. })
        ));
    }
}
