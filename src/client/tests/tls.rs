use std::{path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{
    super::{ErrorKind, Patience},
    server::{FakeServer, Reply},
    *,
};

/// An authority with a server's and a client's certificate, as files.
struct Authority {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let authority = Self { folder, ca };
        authority.issue("server");
        authority.issue("client");
        authority
    }

    fn issue(&self, who: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        std::fs::write(self.path(&format!("{who}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{who}.key")), key.serialize_pem()).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn certificate(&self, file: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(file)).unwrap()
    }

    fn acceptor(&self, wants_client: bool) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.certificate("ca.pem")).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let mut config = builder
            .with_single_cert(vec![self.certificate("server.pem")], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    async fn server(&self, wants_client: bool) -> FakeServer {
        let acceptor = self.acceptor(wants_client);
        FakeServer::start_with(Some(acceptor), |_| Reply::new(200, "{}")).await
    }
}

async fn get(remote: Remote) -> Result<(), ClientError> {
    let client = client(remote);
    client
        .manifest_get(&name(), &tag(), Patience::Full)
        .await
        .map(|_| ())
}

#[tokio::test]
async fn an_unknown_authority_is_refused_at_once_and_a_configured_one_is_trusted() {
    let authority = Authority::new();
    let server = authority.server(false).await;
    let error = get(remote(server.url())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains("certificate"), "{error}");
    let mut trusting = remote(server.url());
    trusting.ca = Some(authority.path("ca.pem"));
    get(trusting).await.unwrap();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn verify_tls_false_takes_any_certificate() {
    let server = Authority::new().server(false).await;
    let mut careless = remote(server.url());
    careless.verify_tls = false;
    get(careless).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let authority = Authority::new();
    let server = authority.server(true).await;
    let mut known = remote(server.url());
    known.ca = Some(authority.path("ca.pem"));
    assert_eq!(
        get(known.clone()).await.unwrap_err().kind,
        ErrorKind::Unreachable
    );
    known.client_cert = Some((authority.path("client.pem"), authority.path("client.key")));
    get(known).await.unwrap();
}

#[tokio::test]
async fn files_that_are_no_certificates_are_named() {
    let authority = Authority::new();
    let mut wrong = remote("https://127.0.0.1:1/".parse().unwrap());
    wrong.ca = Some(authority.path("server.key"));
    let error = RegistryClient::new(wrong, Metrics::default())
        .err()
        .unwrap();
    assert!(error.to_string().contains("server.key"), "{error}");
}

#[tokio::test]
async fn https_never_leads_to_http() {
    let authority = Authority::new();
    let plain = FakeServer::start(|_| Reply::new(200, BLOB)).await;
    let target = plain.url();
    let server = FakeServer::start_with(Some(authority.acceptor(false)), move |_| {
        Reply::redirect(target.as_str())
    })
    .await;
    let mut remote = remote(server.url());
    remote.verify_tls = false;
    let error = client(remote)
        .blob_get(&name(), &blob(), 0, 0)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn a_plain_remote_is_asked_through_the_proxy() {
    let proxy = FakeServer::start(|_| Reply::new(200, "{}")).await;
    let mut remote = remote("http://registry.invalid/".parse().unwrap());
    remote.proxy = Some(proxy.url());
    get(remote).await.unwrap();
    let expected = "http://registry.invalid/v2/library/nginx/manifests/latest";
    assert_eq!(proxy.seen()[0].target, expected);
}

/// A proxy that takes one CONNECT and passes bytes on to the target; gives its URL and the first line it got.
async fn tunnel(target: Url) -> (Url, JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(client.read_u8().await.unwrap());
        }
        let mut server = TcpStream::connect(("127.0.0.1", target.port().unwrap()))
            .await
            .unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        String::from_utf8(request)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned()
    });
    (url.parse().unwrap(), task)
}

#[tokio::test]
async fn a_tls_remote_is_asked_through_a_tunnel() {
    let server = Authority::new().server(false).await;
    let (proxy, first_line) = tunnel(server.url()).await;
    let mut remote = remote(server.url());
    remote.proxy = Some(proxy);
    remote.verify_tls = false;
    get(remote).await.unwrap();
    let host = server.url().port().unwrap();
    assert_eq!(
        first_line.await.unwrap(),
        format!("CONNECT 127.0.0.1:{host} HTTP/1.1")
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_the_tunnel_is_unreachable() {
    let proxy = FakeServer::start(|_| Reply::new(502, "")).await;
    let mut remote = remote("https://registry.invalid/".parse().unwrap());
    remote.proxy = Some(proxy.url());
    assert_eq!(get(remote).await.unwrap_err().kind, ErrorKind::Unreachable);
    let seen = &proxy.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("CONNECT", "registry.invalid:443")
    );
}
