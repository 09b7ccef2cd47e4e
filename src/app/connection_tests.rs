//! Connections in paused time: kept ones that ask for nothing, and HTTP/2 clients, spoken frame by frame, that take nothing.

use axum::{
    body::{Body, Bytes},
    routing::get,
};
use futures_util::stream;
use tokio::{
    io::{AsyncReadExt, DuplexStream},
    task::JoinHandle,
    time::Instant,
};

use super::*;
use crate::app::stream::STALL_TIMEOUT;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
/// `END_STREAM` and `END_HEADERS`
const WHOLE_REQUEST: u8 = 5;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const BIG_BYTES: usize = 300_000;
/// More than a duplex stream holds.
const HUGE_BYTES: usize = 8 << 20;

fn routes() -> Router {
    Router::new()
        .route("/big", get(|| async { Bytes::from(vec![7; BIG_BYTES]) }))
        .route("/huge", get(|| async { Bytes::from(vec![7; HUGE_BYTES]) }))
        .route("/small", get(|| async { "ok" }))
        .route(
            "/broken",
            get(|| async { Body::from_stream(stream::iter(broken())) }),
        )
}

fn broken() -> [std::io::Result<Bytes>; 1] {
    [Err(std::io::Error::other("broken"))]
}

fn serve(stop: &CancellationToken) -> (DuplexStream, JoinHandle<()>) {
    let (stream, servers_end) = tokio::io::duplex(1 << 20);
    let connection = Connection {
        peer: "192.0.2.1:1".parse().unwrap(),
        http: Arc::new(Http::new()),
        router: routes(),
        stop: stop.clone(),
    };
    let server = tokio::spawn(connection.serve(ClientStream::new(servers_end)));
    (stream, server)
}

/// A client that answers settings and pings and nothing else.
struct Client {
    stream: DuplexStream,
    server: JoinHandle<()>,
}

struct FrameRead {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Client {
    /// Each stream's window begins with so many bytes.
    async fn connect(window: u32) -> Self {
        let (stream, server) = serve(&CancellationToken::new());
        let mut client = Self { stream, server };
        client.stream.write_all(PREFACE).await.unwrap();
        let mut initial_window = vec![0, 4];
        initial_window.extend(window.to_be_bytes());
        client.frame(SETTINGS, 0, 0, &initial_window).await;
        client
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The server may have gone: the next read tells.
        let _ = self.stream.write_all(&frame).await;
    }

    async fn get(&mut self, stream: u32, path: &str) {
        // HPACK: GET and http from the static table, path and authority as literals.
        let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend(path.bytes());
        block.extend([0x01, 1, b'x']);
        self.frame(HEADERS, WHOLE_REQUEST, stream, &block).await;
    }

    async fn open_window(&mut self, stream: u32, bytes: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
            .await;
    }

    /// The next frame that means something to a test; `None`: the connection ended.
    async fn next(&mut self) -> Option<FrameRead> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.ok()?;
            let read = FrameRead {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
                payload,
            };
            match (read.kind, read.flags & ACK) {
                (SETTINGS, 0) => self.frame(SETTINGS, ACK, 0, &[]).await,
                (PING, 0) => self.frame(PING, ACK, 0, &read.payload.clone()).await,
                (SETTINGS | PING | WINDOW_UPDATE, _) => {}
                _ => return Some(read),
            }
        }
    }

    /// Reads until this stream is reset; gives how many bytes of its body came.
    async fn until_reset(&mut self, stream: u32) -> usize {
        let reset = async {
            let mut bytes = 0;
            while let Some(frame) = self.next().await {
                match frame.kind {
                    RST_STREAM if frame.stream == stream => return bytes,
                    DATA if frame.stream == stream => bytes += frame.payload.len(),
                    _ => {}
                }
            }
            panic!("the connection ended, and not the stream")
        };
        let in_time = timeout(3 * STALL_TIMEOUT, reset).await;
        in_time.expect("a stalled stream is reset")
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_window_stays_shut_is_reset_and_the_others_go_on() {
    for window in [0, 1000] {
        let mut client = Client::connect(window).await;
        let began = Instant::now();
        client.get(1, "/big").await;
        assert_eq!(client.until_reset(1).await, window as usize);
        assert!(began.elapsed() >= STALL_TIMEOUT);
        assert!(began.elapsed() < 2 * STALL_TIMEOUT, "{:?}", began.elapsed());
        client.get(3, "/small").await;
        client.open_window(3, 100).await;
        let answered = client.next().await.expect("the connection lives");
        assert_eq!((answered.kind, answered.stream), (HEADERS, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_all_but_taken_is_reset_too() {
    let window = u32::try_from(BIG_BYTES).unwrap() - 1;
    let mut client = Client::connect(window).await;
    client.open_window(0, 1 << 20).await;
    client.get(1, "/big").await;
    assert_eq!(client.until_reset(1).await, window as usize);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_everything() {
    let mut client = Client::connect(0).await;
    client.open_window(0, 1 << 20).await;
    client.get(1, "/big").await;
    let (mut bytes, mut ended) = (0, false);
    assert_eq!(client.next().await.unwrap().kind, HEADERS);
    let step = u32::try_from(BIG_BYTES / 10).unwrap();
    while bytes < BIG_BYTES {
        // It answers pings meanwhile.
        let silence = tokio::time::timeout(STALL_TIMEOUT / 2, client.next()).await;
        assert!(silence.is_err());
        client.open_window(1, step).await;
        let enough = bytes + step as usize;
        while bytes < enough {
            let frame = client.next().await.expect("the connection lives");
            assert_eq!(frame.kind, DATA);
            bytes += frame.payload.len();
            ended = frame.flags & 1 == 1;
        }
    }
    while !ended {
        ended = client.next().await.expect("an end").flags & 1 == 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_asks_for_nothing_more_is_told_to_go() {
    let mut client = Client::connect(65_535).await;
    let began = Instant::now();
    client.get(1, "/small").await;
    let mut told = false;
    while let Some(frame) = client.next().await {
        told |= frame.kind == GOAWAY;
    }
    assert!(
        told && began.elapsed() >= IDLE_TIMEOUT,
        "{:?}",
        began.elapsed()
    );
    client.server.await.unwrap();
}

const REQUEST: &[u8] = b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n";

/// The head and the two bytes of an answer.
async fn answer(stream: &mut DuplexStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\nok") {
        read.push(stream.read_u8().await.expect("the connection lives"));
    }
    String::from_utf8(read).unwrap().to_lowercase()
}

#[tokio::test]
async fn an_answer_that_breaks_at_once_has_a_head() {
    let (mut stream, server) = serve(&CancellationToken::new());
    let request = b"GET /broken HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_is_parked_and_answers_again() {
    let (mut stream, server) = serve(&CancellationToken::new());
    for pause in [
        Duration::ZERO,
        PARK_AFTER,
        2 * PARK_AFTER,
        Duration::from_secs(90),
    ] {
        tokio::time::sleep(pause).await;
        stream.write_all(REQUEST).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(
            answer.starts_with("http/1.1 200") && !answer.contains("close"),
            "{answer}"
        );
    }
    // The head of a request may itself come while the connection is being parked.
    let (first, rest) = REQUEST.split_at(7);
    stream.write_all(first).await.unwrap();
    tokio::time::sleep(2 * PARK_AFTER).await;
    stream.write_all(rest).await.unwrap();
    answer(&mut stream).await;
    let began = Instant::now();
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    assert!(began.elapsed() >= IDLE_TIMEOUT, "{:?}", began.elapsed());
    server.await.unwrap();
}

/// What a parked connection is: its task. The buffers of the HTTP server are four times that.
#[tokio::test]
async fn a_parked_connection_is_small() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let connection = Connection {
        peer: address,
        http: Arc::new(Http::new()),
        router: routes(),
        stop: CancellationToken::new(),
    };
    let task = connection.run(ClientStream::new(stream), None);
    let bytes = size_of_val(&task);
    assert!(bytes <= 4096, "{bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_parked_connection_ends_with_its_client_and_with_the_server() {
    for leaves in [true, false] {
        let stop = CancellationToken::new();
        let (mut stream, server) = serve(&stop);
        stream.write_all(REQUEST).await.unwrap();
        answer(&mut stream).await;
        tokio::time::sleep(2 * PARK_AFTER).await;
        let began = Instant::now();
        if leaves {
            drop(stream);
        } else {
            stop.cancel();
        }
        server.await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_is_not_parked_before_the_end() {
    let (mut stream, _server) = serve(&CancellationToken::new());
    let big = b"GET /huge HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(big).await.unwrap();
    let mut taken = 0;
    let mut buffer = vec![0; 1 << 20];
    while taken < HUGE_BYTES {
        tokio::time::sleep(2 * PARK_AFTER).await;
        taken += stream.read(&mut buffer).await.unwrap();
    }
    stream.write_all(REQUEST).await.unwrap();
    let answer = answer(&mut stream).await;
    assert!(answer.ends_with("\r\n\r\nok") && !answer.contains("close"));
}
