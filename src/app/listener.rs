//! The accept loop and the connections that it made. HTTP/1.1 and HTTP/2 on one port: h2c by its preface, h2 by ALPN.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, warn};

use super::{middleware::client_address::Peer, stream::ClientStream};
use crate::telemetry::Metrics;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From a connection to its first request, and of the headers of each.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_HEADER_BYTES: u32 = 64 << 10;
/// Of an HTTP/1.1 connection: the longest head of a request; and the next piece of an answer is read when less than this
/// is left of the one before, so that a slow client mostly costs one read of a blob and not two.
const MAX_BUFFER_BYTES: usize = 64 << 10;
const MAX_STREAMS: u32 = 250;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// After a failed accept (no file descriptors left): some may be free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connections of all listeners; cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    /// No new connections and no further requests on those that are open.
    pub(super) stop: CancellationToken,
    /// Drop what is still open.
    pub(super) cut: CancellationToken,
    pub(super) open: TaskTracker,
    metrics: Metrics,
}

impl Connections {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            open: TaskTracker::new(),
            metrics,
        }
    }
}

/// One address that is listened on.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) router: Router,
    pub(super) connections: Connections,
}

impl Listener {
    pub(super) fn address(&self) -> SocketAddr {
        self.socket
            .local_addr()
            .expect("a socket that is bound has an address")
    }

    /// Accepts until `stop`; each connection is a task of its own in `open`.
    pub(super) async fn run(self) {
        let http = Arc::new(http());
        let stop = self.connections.stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.accepted(stream, peer, &http),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn accepted(&self, stream: TcpStream, peer: SocketAddr, http: &Arc<Builder<TokioExecutor>>) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let connection = Connection {
            peer,
            http: Arc::clone(http),
            router: self.router.clone(),
            connections: self.connections.clone(),
        };
        let stream = ClientStream::new(stream);
        let tls = self.tls.clone();
        self.connections.open.spawn(async move {
            let cut = connection.connections.cut.clone();
            let metrics = connection.connections.metrics.clone();
            metrics.connections(1);
            tokio::select! {
                () = cut.cancelled() => {}
                () = connection.run(stream, tls) => {}
            }
            metrics.connections(-1);
        });
    }
}

struct Connection {
    peer: SocketAddr,
    http: Arc<Builder<TokioExecutor>>,
    router: Router,
    connections: Connections,
}

impl Connection {
    async fn run(self, stream: ClientStream<TcpStream>, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else {
            return self.serve(stream).await;
        };
        let peer = self.peer;
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed: {error}"),
            Err(_) => debug!(%peer, "TLS handshake took too long"),
        }
    }

    async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            peer,
            http,
            router,
            connections,
        } = self;
        let asked = Arc::new(AtomicBool::new(false));
        let any_asked = Arc::clone(&asked);
        let service = service_fn(move |mut request: Request<Incoming>| {
            any_asked.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(Peer(peer));
            answer(router.clone(), request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = first_request_missed(&asked) => return debug!(%peer, "no request came"),
            () = connections.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            debug!(%peer, %error, "connection ended: {error}");
        }
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
) -> Result<axum::response::Response, Infallible> {
    router.oneshot(request.map(Body::new)).await
}

/// Ends when the time for a first request is over and none came; else never.
async fn first_request_missed(asked: &AtomicBool) {
    tokio::time::sleep(HEADER_TIMEOUT).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn http() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// The client was gone before it was accepted: nothing of ours.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
