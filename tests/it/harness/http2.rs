//! HTTP/2 through hyper, for TLS clients that choose it; cuts and resets become `RST_STREAM`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use super::pace::Pace;
use super::play::{Broken, Exchange, Sink, play_body, play_step};
use super::request::Request;
use super::server::Server;
use super::stream::Stream;

type Chunk = Result<Frame<Bytes>, io::Error>;

/// The receiving end of a body that is being played.
struct PlayedBody(mpsc::Receiver<Chunk>);

/// The sending end.
struct BodySink(mpsc::Sender<Chunk>);

/// Before the head there is nobody to ask whether the client is there: hyper drops the future.
struct HeadSink;

/// Answers the connection's requests until one side closes it.
pub(super) async fn serve(stream: Stream, server: Arc<Server>) {
    let paces: Arc<[Arc<Pace>]> = server.paces().into();
    let client_certificate = stream.has_client_certificate();
    let service = service_fn(move |request| {
        exchange(
            request,
            Arc::clone(&server),
            Arc::clone(&paces),
            client_certificate,
        )
    });
    // An error here is a client that went away, or a fault that was asked for.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn exchange(
    request: http::Request<Incoming>,
    server: Arc<Server>,
    paces: Arc<[Arc<Pace>]>,
    client_certificate: bool,
) -> Result<http::Response<PlayedBody>, io::Error> {
    let (parts, body) = request.into_parts();
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut request = Request::parse(parts.method, target, parts.headers, body);
    request.client_certificate = client_certificate;
    let Exchange {
        mut reply,
        entry,
        head_only,
        paces,
    } = server.receive(&request, &paces);
    for step in std::mem::take(&mut reply.script.before_head) {
        play_step(step, &mut HeadSink)
            .await
            .map_err(|why| broken(&why))?;
    }
    if reply.script.head_cut {
        return Err(broken(&Broken::Cut));
    }
    let mut response = http::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    if let Some(length) = reply.said_length() {
        response = response.header("content-length", length);
    }
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        if head_only {
            return entry.complete();
        }
        let mut sink = BodySink(sender);
        match play_body(&reply.body, &mut reply.script, &entry, &paces, &mut sink).await {
            Ok(()) => entry.complete(),
            // A receiver that is gone is a client that is gone.
            Err(why) => drop(sink.0.send(Err(broken(&why))).await),
        }
    });
    response
        .body(PlayedBody(receiver))
        .map_err(io::Error::other)
}

fn broken(why: &Broken) -> io::Error {
    io::Error::other(format!("{why:?}"))
}

// === impl PlayedBody ===

impl http_body::Body for PlayedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        self.0.poll_recv(cx)
    }
}

// === impl BodySink ===

impl Sink for BodySink {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Broken> {
        self.0
            .send(Ok(Frame::data(chunk)))
            .await
            .map_err(|_| Broken::Gone)
    }

    async fn wait(&mut self, what: impl Future<Output = ()> + Send) -> Result<(), Broken> {
        tokio::select! {
            () = what => Ok(()),
            () = self.0.closed() => Err(Broken::Gone),
        }
    }
}

// === impl HeadSink ===

impl Sink for HeadSink {
    async fn write(&mut self, _: Bytes) -> Result<(), Broken> {
        Err(Broken::Gone)
    }

    async fn wait(&mut self, what: impl Future<Output = ()> + Send) -> Result<(), Broken> {
        what.await;
        Ok(())
    }
}
