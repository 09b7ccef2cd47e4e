//! A server that answers by a function and remembers what it was asked.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use url::Url;

/// A request as it came.
#[derive(Debug, Clone)]
pub(in crate::client) struct Seen {
    pub(in crate::client) method: Method,
    /// Path and query; the whole URI when a proxy was asked.
    pub(in crate::client) target: String,
    pub(in crate::client) headers: HeaderMap,
    pub(in crate::client) body: Bytes,
}

impl Seen {
    pub(in crate::client) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

enum Content {
    Whole(Bytes),
    /// These bytes, then nothing more, for ever.
    Stall(Bytes),
    /// These bytes, then a broken connection.
    Break(Bytes),
}

/// What the script answers.
pub(in crate::client) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    content: Content,
    delay: Duration,
}

impl Reply {
    pub(in crate::client) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Whole(body.into()),
            delay: Duration::ZERO,
        }
    }

    pub(in crate::client) fn redirect(location: impl Into<String>) -> Self {
        Self::new(307, "").with("location", location)
    }

    pub(in crate::client) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(in crate::client) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Never answers.
    pub(in crate::client) fn never() -> Self {
        Self::new(200, "").after(Duration::from_hours(1))
    }

    pub(in crate::client) fn stalling(self) -> Self {
        self.turned(Content::Stall)
    }

    pub(in crate::client) fn breaking(self) -> Self {
        self.turned(Content::Break)
    }

    fn turned(mut self, into: fn(Bytes) -> Content) -> Self {
        if let Content::Whole(bytes) = self.content {
            self.content = into(bytes);
        }
        self
    }

    fn into_response(self) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
        let frame = |bytes| stream::iter([Ok(Frame::data(bytes))]);
        let body = match self.content {
            Content::Whole(bytes) => Full::new(bytes)
                .map_err(|never| match never {})
                .boxed_unsync(),
            Content::Stall(bytes) => {
                StreamBody::new(frame(bytes).chain(stream::pending())).boxed_unsync()
            }
            Content::Break(bytes) => {
                let end = stream::once(async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Err(io::Error::other("scripted"))
                });
                StreamBody::new(frame(bytes).chain(end)).boxed_unsync()
            }
        };
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap()
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server; ends with the test.
pub(in crate::client) struct FakeServer {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeServer {
    pub(in crate::client) async fn start(
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(None, script).await
    }

    pub(in crate::client) async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, script, log) = (tls.clone(), Arc::clone(&script), Arc::clone(&log));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, script, log).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, script, log).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            scheme,
            seen,
            task,
        }
    }

    pub(in crate::client) fn url(&self) -> Url {
        format!("{}://{}/", self.scheme, self.address)
            .parse()
            .unwrap()
    }

    /// The same server under the name that also means this machine.
    pub(in crate::client) fn localhost(&self) -> Url {
        let mut url = self.url();
        url.set_host(Some("localhost")).unwrap();
        url
    }

    pub(in crate::client) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests had this in their target.
    pub(in crate::client) fn count(&self, part: &str) -> usize {
        self.seen()
            .iter()
            .filter(|seen| seen.target.contains(part))
            .count()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<Seen>>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (script, log) = (Arc::clone(&script), Arc::clone(&log));
        async move {
            let (head, body) = request.into_parts();
            let seen = Seen {
                method: head.method,
                target: head.uri.to_string(),
                headers: head.headers,
                body: body.collect().await.unwrap().to_bytes(),
            };
            log.lock().unwrap().push(seen.clone());
            let reply = script(&seen);
            tokio::time::sleep(reply.delay).await;
            Ok::<_, Infallible>(reply.into_response())
        }
    });
    let connection = auto::Builder::new(TokioExecutor::new());
    // A scripted break ends the connection with an error.
    let _ = connection
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
