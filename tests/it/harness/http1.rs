//! HTTP/1.1 written by hand: a library would not let us break its rules, and breaking them is the job.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::play::{Broken, Exchange, Sink, play_body, play_step};
use super::reply::{Body, Reply, Step};
use super::request::Request;
use super::server::Server;
use super::stream::Stream;

struct Connection {
    stream: Stream,
    received: BytesMut,
    chunked: bool,
}

/// Answers the connection's requests until one side closes it.
pub(super) async fn serve(stream: Stream, server: Arc<Server>) {
    let paces = server.paces();
    let client_certificate = stream.has_client_certificate();
    let mut connection = Connection {
        stream,
        received: BytesMut::new(),
        chunked: false,
    };
    while let Some(mut request) = connection.read_request().await {
        request.client_certificate = client_certificate;
        let client_closes = request.header("connection").eq_ignore_ascii_case("close");
        let exchange = server.receive(&request, &paces);
        let closes = exchange.reply.script.close_after || client_closes;
        let outcome = connection.send(exchange).await;
        match outcome {
            Ok(()) if !closes => continue,
            Err(Broken::Reset) => {
                connection.stream.reset_on_drop();
                return;
            }
            Err(Broken::Raw(bytes)) => {
                let _ = connection.stream.write_all(&bytes).await;
            }
            Ok(()) | Err(Broken::Gone | Broken::Cut) => {}
        }
        // A client that is gone needs no farewell.
        let _ = connection.stream.shutdown().await;
        return;
    }
}

// === impl Connection ===

impl Connection {
    /// None at the end of the connection, or for something that is not HTTP.
    async fn read_request(&mut self) -> Option<Request> {
        let head_end = loop {
            if let Some(at) = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                break at + 4;
            }
            self.read_more().await?;
        };
        let head = self.received.split_to(head_end);
        let (method, target, headers) = parse_head(std::str::from_utf8(&head).ok()?)?;
        let length = headers.get("content-length").map_or(Some(0), |value| {
            value
                .to_str()
                .ok()
                .and_then(|value| value.parse::<usize>().ok())
        })?;
        while self.received.len() < length {
            self.read_more().await?;
        }
        let body = self.received.split_to(length).freeze();
        Some(Request::parse(method, &target, headers, body))
    }

    async fn read_more(&mut self) -> Option<()> {
        match self.stream.read_buf(&mut self.received).await {
            Ok(read) if read > 0 => Some(()),
            _ => None,
        }
    }

    /// Steps before the head, the head, the body.
    async fn send(&mut self, exchange: Exchange) -> Result<(), Broken> {
        let Exchange {
            mut reply,
            entry,
            head_only,
            paces,
        } = exchange;
        for step in std::mem::take(&mut reply.script.before_head) {
            play_step(step, self).await?;
        }
        let head = render_head(&reply);
        if reply.script.head_cut {
            self.write_raw(&head.as_bytes()[..head.len() / 2]).await?;
            return Err(Broken::Cut);
        }
        let bodiless = head_only || reply.status == 304;
        if bodiless || reply.body.length() == Some(0) {
            entry.ending();
        }
        self.write_raw(head.as_bytes()).await?;
        if !bodiless {
            self.chunked = reply.said_length().is_none();
            play_body(&reply.body, &mut reply.script, &entry, &paces, self).await?;
            if self.chunked {
                self.write_raw(b"0\r\n\r\n").await?;
            }
        }
        entry.complete();
        Ok(())
    }

    async fn write_raw(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|_| Broken::Gone)
    }

    /// Ends when the client closes its side.
    async fn closed(&mut self) {
        while self.read_more().await.is_some() {}
    }
}

impl Sink for Connection {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Broken> {
        if !self.chunked {
            return self.write_raw(&chunk).await;
        }
        let size = format!("{:x}\r\n", chunk.len());
        let mut framed = Bytes::from(size).chain(chunk).chain(&b"\r\n"[..]);
        self.stream
            .write_all_buf(&mut framed)
            .await
            .map_err(|_| Broken::Gone)?;
        self.stream.flush().await.map_err(|_| Broken::Gone)
    }

    async fn wait(&mut self, what: impl Future<Output = ()> + Send) -> Result<(), Broken> {
        tokio::select! {
            () = what => Ok(()),
            () = self.closed() => Err(Broken::Gone),
        }
    }
}

fn parse_head(head: &str) -> Option<(Method, String, HeaderMap)> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let method = words.next()?.parse().ok()?;
    let target = words.next()?.to_owned();
    let mut headers = HeaderMap::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let value = HeaderValue::from_str(value.trim()).ok()?;
        headers.append(name.parse::<HeaderName>().ok()?, value);
    }
    Some((method, target, headers))
}

fn render_head(reply: &Reply) -> String {
    let reason = StatusCode::from_u16(reply.status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut head = format!(
        "HTTP/1.1 {} {}\r\n",
        reply.status,
        reason.unwrap_or("Unknown")
    );
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").expect("a String takes all text");
    }
    match reply.said_length() {
        _ if reply.status == 304 => {}
        Some(length) => {
            write!(head, "Content-Length: {length}\r\n").expect("a String takes all text");
        }
        None => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    head
}
