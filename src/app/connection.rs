//! One connection of a client, from its TLS handshake to its end. HTTP/1.1 and HTTP/2 on one port: the first bytes tell.
//!
//! An HTTP/1.1 connection that has had no request for a moment is parked: the HTTP server with its buffers, some 16 KiB,
//! is gone, and the bare stream waits for its next request. So thousands of kept connections cost little.

use std::{
    convert::Infallible, future::poll_fn, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use axum::{Router, body::Body};
use futures_util::future::BoxFuture;
use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

use super::{
    middleware::client_address::Peer,
    progress::{Activity, SentBody, Stream, Streams},
    sniff::{Protocol, Sniffed},
    stream::ClientStream,
};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From a connection to its first byte, and from the first byte of a request to the end of its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection without a request is closed after this. Clients keep theirs for up to 90 s.
const IDLE_TIMEOUT: Duration = Duration::from_mins(3);
/// An HTTP/1.1 connection without a request is parked after this.
const PARK_AFTER: Duration = Duration::from_secs(2);
/// How long a client that was told to go may take to do so.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a request's line and headers: more is answered with 431.
const MAX_HEADER_BYTES: u16 = 32 << 10;
/// Of an HTTP/1.1 connection: the next piece of an answer is read when less than this is left of the one before, so that a
/// slow client mostly costs one read of a blob and not two.
const MAX_BUFFER_BYTES: usize = 64 << 10;
const MAX_STREAMS: u32 = 250;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What one HTTP/2 stream may have in the server's memory before its client takes it.
const MAX_SEND_BUFFER_BYTES: usize = 256 << 10;

/// The settings of both protocols, for all connections.
pub(super) struct Http {
    one: http1::Builder,
    two: http2::Builder<Streams>,
}

impl Http {
    pub(super) fn new() -> Self {
        let mut one = http1::Builder::new();
        one.timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_BUFFER_BYTES)
            .max_header_size(MAX_HEADER_BYTES.into());
        let mut two = http2::Builder::new(Streams);
        two.timer(TokioTimer::new())
            .adaptive_window(true)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_BYTES.into())
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        Self { one, two }
    }
}

pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) http: Arc<Http>,
    pub(super) router: Router,
    /// No further requests.
    pub(super) stop: CancellationToken,
}

impl Connection {
    // The futures inside are boxed: a task has the size of its largest state, and most connections idle in the smallest.
    pub(super) async fn run(self, stream: ClientStream<TcpStream>, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else {
            return self.serve(stream).await;
        };
        let peer = self.peer;
        match timeout(HANDSHAKE_TIMEOUT, Box::pin(tls.accept(stream))).await {
            Ok(Ok(stream)) => Box::pin(self.serve(stream)).await,
            Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed: {error}"),
            Err(_) => debug!(%peer, "TLS handshake took too long"),
        }
    }

    async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = self.peer;
        let mut stream = Sniffed::new(stream);
        let mut patience = HEADER_TIMEOUT;
        loop {
            let spoken = tokio::select! {
                spoken = timeout(patience, stream.protocol()) => spoken,
                () = self.stop.cancelled() => return,
            };
            let ended = match spoken {
                Ok(Ok(Protocol::Http1)) => match Box::pin(self.http1(stream)).await {
                    Ok(Some(parked)) => {
                        stream = parked;
                        patience = IDLE_TIMEOUT;
                        continue;
                    }
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                },
                Ok(Ok(Protocol::Http2)) => Box::pin(self.http2(stream)).await,
                Ok(Err(error)) => return debug!(%peer, %error, "no request came: {error}"),
                Err(_) => return debug!(%peer, "no request came in time"),
            };
            return match ended {
                Ok(()) => {}
                Err(error) => debug!(%peer, %error, "connection ended: {error}"),
            };
        }
    }

    /// Serves until the connection ends (`None`) or is to be parked.
    async fn http1<S>(&self, stream: Sniffed<S>) -> hyper::Result<Option<Sniffed<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::new();
        let service = self.service(&activity);
        let mut connection = self
            .http
            .one
            .serve_connection(TokioIo::new(stream), service);
        let mut asked_when_idle = None;
        let mut stopping = false;
        {
            let mut idle = pin!(activity.idle(PARK_AFTER));
            loop {
                tokio::select! {
                    biased;
                    ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended?,
                    () = &mut idle, if asked_when_idle.is_none() => {
                        asked_when_idle = Some(activity.asked());
                        Pin::new(&mut connection).graceful_shutdown();
                    }
                    () = self.stop.cancelled(), if !stopping => {
                        stopping = true;
                        Pin::new(&mut connection).graceful_shutdown();
                    }
                }
            }
        }
        let parts = connection.into_parts();
        let mut stream = parts.io.into_inner();
        stream.give_back(&parts.read_buf);
        // A request that came at the last moment was answered, and told that it is the last one.
        if asked_when_idle == Some(activity.asked()) && !stopping && !stream.has_ended() {
            return Ok(Some(stream));
        }
        let _ = timeout(FAREWELL_TIMEOUT, stream.shutdown()).await;
        Ok(None)
    }

    async fn http2<S>(&self, stream: Sniffed<S>) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::new();
        let service = self.service(&activity);
        let connection = self
            .http
            .two
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = activity.idle(IDLE_TIMEOUT) => {
                connection.as_mut().graceful_shutdown();
                timeout(FAREWELL_TIMEOUT, connection).await.unwrap_or(Ok(()))
            }
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    }

    fn service(&self, activity: &Arc<Activity>) -> Answers {
        Answers {
            peer: self.peer,
            router: self.router.clone(),
            activity: Arc::clone(activity),
        }
    }
}

/// Answers the requests of one connection.
struct Answers {
    peer: SocketAddr,
    router: Router,
    activity: Arc<Activity>,
}

impl Service<Request<Incoming>> for Answers {
    type Response = Response<SentBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<SentBody>, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Peer(self.peer));
        let router = self.router.clone();
        let running = self.activity.begin();
        Box::pin(async move {
            // Here and not before: this runs in the stream's own task.
            let stream = Stream::current();
            let response = router.oneshot(request.map(Body::new)).await?;
            Ok(response.map(|body| SentBody::new(body, running, stream)))
        })
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
