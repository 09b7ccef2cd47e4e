//! What tests ask servers with: whole answers, digests of streams, and a reader as slow as the test wants.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Method};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::tls::{Identity, install_crypto};

/// An answer with all of its body that came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: http::Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// False if the connection broke before the body's end.
    pub(crate) complete: bool,
}

/// What `drain_sha256` saw.
#[derive(Clone, Debug)]
pub(crate) struct Drained {
    pub(crate) status: u16,
    pub(crate) digest: String,
    pub(crate) bytes: u64,
    pub(crate) complete: bool,
    pub(crate) first_byte: Duration,
    pub(crate) total: Duration,
}

/// A client that follows no redirects and uses no proxy.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
}

/// One GET whose body is read when the test says so, through a small receive buffer.
#[derive(Debug)]
pub(crate) struct SlowReader {
    stream: TcpStream,
    received: BytesMut,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// From the request to the first byte of the body.
    pub(crate) first_byte: Option<Duration>,
    asked_at: Instant,
    body_bytes: u64,
}

pub(crate) async fn get(url: &str) -> Answer {
    Client::new().get(url).await
}

pub(crate) async fn head(url: &str) -> Answer {
    Client::new().head(url).await
}

/// A GET with `Range: bytes=<range>`.
pub(crate) async fn get_range(url: &str, range: &str) -> Answer {
    Client::new().get_range(url, range).await
}

/// Reads to the end without keeping the bytes.
pub(crate) async fn drain_sha256(url: &str) -> Drained {
    Client::new().drain_sha256(url).await
}

// === impl Answer ===

impl Answer {
    /// A header as text; empty if absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// `errors[0].code` of an error body.
    pub(crate) fn error_code(&self) -> String {
        let body = self.json();
        body["errors"][0]["code"]
            .as_str()
            .expect("the body has an error code")
            .to_owned()
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn new() -> Self {
        Self::build(|builder| builder.tls_certs_only([]))
    }

    /// Trusts this authority (PEM) and nobody else.
    pub(crate) fn trusting(authority: &str) -> Self {
        let root = reqwest::Certificate::from_pem(authority.as_bytes()).expect("the PEM is valid");
        Self::build(|builder| builder.tls_certs_only([root]))
    }

    /// Also shows a client certificate.
    pub(crate) fn trusting_as(authority: &str, identity: &Identity) -> Self {
        let root = reqwest::Certificate::from_pem(authority.as_bytes()).expect("the PEM is valid");
        let pem = format!("{}{}", identity.key, identity.certificate);
        let identity = reqwest::Identity::from_pem(pem.as_bytes()).expect("the PEM is valid");
        Self::build(|builder| builder.tls_certs_only([root]).identity(identity))
    }

    fn build(change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Self {
        install_crypto();
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never());
        Self {
            http: change(builder)
                .build()
                .expect("the client's options are valid"),
        }
    }

    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.send(Method::GET, url, &[]).await
    }

    pub(crate) async fn head(&self, url: &str) -> Answer {
        self.send(Method::HEAD, url, &[]).await
    }

    pub(crate) async fn get_range(&self, url: &str, range: &str) -> Answer {
        self.send(Method::GET, url, &[("range", &format!("bytes={range}"))])
            .await
    }

    /// Panics if no answer came.
    pub(crate) async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
        let outcome = self.try_send(method, url, headers).await;
        outcome.unwrap_or_else(|error| panic!("no answer from {url}: {error:?}"))
    }

    /// An error if no answer came; a body that breaks off is an answer that is not complete.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send().await?;
        let mut body = BytesMut::new();
        let complete = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Ok(Answer {
            status: response.status().as_u16(),
            version: response.version(),
            headers: response.headers().clone(),
            body: body.freeze(),
            complete,
        })
    }

    pub(crate) async fn drain_sha256(&self, url: &str) -> Drained {
        let asked_at = Instant::now();
        let mut response = self.http.get(url).send().await.expect("the server answers");
        let mut first_byte = None;
        let mut hash = Sha256::new();
        let mut bytes = 0;
        let complete = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    first_byte.get_or_insert_with(|| asked_at.elapsed());
                    bytes += chunk.len() as u64;
                    hash.update(&chunk);
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Drained {
            status: response.status().as_u16(),
            digest: format!("sha256:{}", hex::encode(hash.finalize())),
            bytes,
            complete,
            first_byte: first_byte.unwrap_or_else(|| asked_at.elapsed()),
            total: asked_at.elapsed(),
        }
    }
}

// === impl SlowReader ===

impl SlowReader {
    /// Sends a GET over plain HTTP and reads the head of the answer, but nothing more than it must.
    pub(crate) async fn open(url: &str, headers: &[(&str, &str)]) -> Self {
        let opened = Self::try_open(url, headers).await;
        opened.unwrap_or_else(|error| panic!("no answer from {url}: {error}"))
    }

    /// An error if no answer came.
    pub(crate) async fn try_open(url: &str, headers: &[(&str, &str)]) -> io::Result<Self> {
        let url = url::Url::parse(url).expect("tests give whole URLs");
        let address = url.socket_addrs(|| None).expect("tests use addresses")[0];
        let socket = TcpSocket::new_v4().expect("sockets are to be had");
        socket
            .set_recv_buffer_size(16 * 1024)
            .expect("the size is allowed");
        let asked_at = Instant::now();
        let mut stream = socket.connect(address).await?;
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request =
            format!("GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.extend([*name, ": ", *value, "\r\n"]);
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut reader = Self {
            stream,
            received: BytesMut::with_capacity(4096),
            status: 0,
            headers: HeaderMap::new(),
            first_byte: None,
            asked_at,
            body_bytes: 0,
        };
        reader.read_head().await?;
        Ok(reader)
    }

    async fn read_head(&mut self) -> io::Result<()> {
        let end = loop {
            if let Some(at) = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                break at + 4;
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = self.received.split_to(end);
        let head = std::str::from_utf8(&head).expect("heads are ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        self.status = status
            .and_then(|code| code.parse().ok())
            .expect("there is a status line");
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let name: http::HeaderName = name.parse().expect("header names are valid");
            self.headers
                .append(name, value.trim().parse().expect("header values are valid"));
        }
        Ok(())
    }

    /// Up to `limit` bytes of the body as they come; None at the end of the connection.
    /// A chunked body comes with its framing.
    pub(crate) async fn read_some(&mut self, limit: usize) -> Option<Bytes> {
        if self.received.is_empty() {
            let mut chunk = vec![0; limit.min(16 * 1024)];
            match self.stream.read(&mut chunk).await {
                Ok(read) if read > 0 => self.received.extend_from_slice(&chunk[..read]),
                _ => return None,
            }
        }
        self.first_byte
            .get_or_insert_with(|| self.asked_at.elapsed());
        let length = limit.min(self.received.remaining());
        self.body_bytes += length as u64;
        Some(self.received.split_to(length).freeze())
    }

    /// Exactly `count` bytes, or fewer if the connection ends.
    pub(crate) async fn read(&mut self, count: usize) -> Bytes {
        let mut body = BytesMut::new();
        while body.len() < count {
            let Some(chunk) = self.read_some(count - body.len()).await else {
                break;
            };
            body.extend_from_slice(&chunk);
        }
        body.freeze()
    }

    /// The rest of the body.
    pub(crate) async fn read_to_end(&mut self) -> Bytes {
        self.read(usize::MAX).await
    }

    /// Whether as many bytes were read as Content-Length said.
    pub(crate) fn is_complete(&self) -> bool {
        let length = self
            .headers
            .get("content-length")
            .and_then(|value| value.to_str().ok());
        length.and_then(|length| length.parse().ok()) == Some(self.body_bytes)
    }
}
