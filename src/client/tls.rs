//! TLS towards a remote: whom we trust, and who we are.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

use crate::config;

/// The machine's certificates, else Mozilla's: an image from scratch has none. Read once, shared by all remotes.
static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    Arc::new(roots)
});

/// Whom we trust when nothing else is said.
pub fn default_roots() -> Arc<RootCertStore> {
    Arc::clone(&ROOTS)
}

/// The TLS settings towards servers that are no remotes: the machine's certificates, and nobody in particular.
pub fn usual_tls() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual versions")
        .with_root_certificates(default_roots())
        .with_no_client_auth()
}

/// The TLS settings of a remote; the error names the file and what is wrong with it.
pub(super) fn client_config(remote: &config::Remote) -> Result<ClientConfig, String> {
    let mut config = trusting(&Trust {
        verify: remote.verify_tls,
        ca: remote.ca.as_deref(),
        identity: remote.client_cert.as_ref(),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Whom to trust, and who we are.
pub(super) struct Trust<'a> {
    pub(super) verify: bool,
    /// Further certificates, PEM.
    pub(super) ca: Option<&'a Path>,
    /// (certificate, key), both PEM.
    pub(super) identity: Option<&'a (PathBuf, PathBuf)>,
}

/// The error names the file and what is wrong with it.
pub(super) fn trusting(trust: &Trust<'_>) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if trust.verify {
        builder.with_root_certificates(roots(trust.ca)?)
    } else {
        let verifier = Arc::new(AcceptAny(provider));
        builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
    };
    match trust.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("client_key `{}`: {error}", key.display()))?;
            builder
                .with_client_auth_cert(chain, private)
                .map_err(|error| format!("client_cert `{}`: {error}", certificate.display()))
        }
    }
}

/// For services that are not the remote itself: none of its settings apply.
pub(super) fn public_config() -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(roots(None)?);
    Ok(builder.with_no_client_auth())
}

fn roots(extra: Option<&Path>) -> Result<Arc<RootCertStore>, String> {
    let Some(path) = extra else {
        return Ok(Arc::clone(&ROOTS));
    };
    let mut roots = RootCertStore::clone(&ROOTS);
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| format!("ca `{}`: {error}", path.display()))?;
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |text: &str| format!("certificate file `{}`: {text}", path.display());
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| wrong(&error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("holds no certificate in PEM form"));
    }
    Ok(found)
}

/// `verify_tls = false`: any certificate is good, as long as its holder signs the handshake.
#[derive(Debug)]
pub struct AcceptAny(pub Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
