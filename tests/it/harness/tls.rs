//! `Authority`: a certificate authority made for one test, for servers and for client certificates.

use std::sync::{Arc, Once};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Makes aws-lc-rs the provider of the process; again and again is fine.
pub(crate) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the code under test was quicker.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names to be wrong");
        params
            .distinguished_name
            .push(DnType::CommonName, "Test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("the provider makes keys");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("the parameters are whole");
        Self { issuer }
    }

    /// The authority's certificate, as clients are given it.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server certificate for these names and addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub(crate) fn client(&self, name: &str) -> Identity {
        self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("the names are valid");
        params.insert_extended_key_usage(usage);
        let key = KeyPair::generate().expect("the provider makes keys");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("the parameters are whole");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// TLS for a server on loopback; clients must show a certificate of ours if `clients` is given.
    pub(super) fn server_config(
        &self,
        clients: ClientCertificates,
        protocols: &[&str],
    ) -> Arc<ServerConfig> {
        install_crypto();
        let mut params = CertificateParams::new(
            ["127.0.0.1", "127.0.0.2", "127.0.0.3", "localhost"]
                .map(String::from)
                .to_vec(),
        )
        .expect("the names are valid");
        params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        let key = KeyPair::generate().expect("the provider makes keys");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("the parameters are whole");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("rcgen writes PKCS#8");
        let builder = match clients {
            ClientCertificates::NotAsked => ServerConfig::builder().with_no_client_auth(),
            ClientCertificates::Required => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(self.issuer.der().clone())
                    .expect("our own certificate is valid");
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                    .build()
                    .expect("there is a root");
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("key and certificate fit");
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Arc::new(config)
    }
}

/// Whether a server wants to see a client certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClientCertificates {
    #[default]
    NotAsked,
    Required,
}
