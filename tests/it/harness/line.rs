//! A way to a server that can break: bytes are passed on, or not.
//!
//! ```text
//! let line = Line::to(address).await;   line.address()   Line::to_nowhere().await … line.lead_to(address)
//! line.connections()  line.connected(n).await  line.bytes()  line.bytes_to_server()
//! line.set(Trouble::Refused | Trouble::Silent | Trouble::CutAfter(bytes) | Trouble::UnansweredFrom(text)) / line.repair()
//! ```

#![allow(
    dead_code,
    reason = "each user of the harness needs another part of it"
)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinHandle,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// Connections end as soon as they are made.
    Refused,
    /// What is sent is taken, and nothing ever comes back.
    Silent,
    /// Each new connection is cut when the server has sent so many bytes.
    CutAfter(u64),
    /// The server has what is sent; from the request with this text on, nothing comes back.
    UnansweredFrom(&'static str),
}

/// What the tasks of a line share.
struct Shared {
    server: watch::Sender<Option<SocketAddr>>,
    trouble: watch::Sender<Trouble>,
    connections: watch::Sender<usize>,
    /// Passed from the server to clients.
    bytes: AtomicU64,
    /// Passed from clients to the server.
    bytes_to_server: AtomicU64,
}

/// Stands before a server.
pub(crate) struct Line {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Line {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let line = Self::to_nowhere().await;
        line.lead_to(server);
        line
    }

    /// To a server that is not there yet: connections are refused.
    pub(crate) async fn to_nowhere() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server: watch::Sender::new(None),
            trouble: watch::Sender::new(Trouble::None),
            connections: watch::Sender::new(0),
            bytes: AtomicU64::new(0),
            bytes_to_server: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(socket, Arc::clone(&shared)));
        Self {
            address,
            shared,
            task,
        }
    }

    /// From the next connection on.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        self.shared.server.send_replace(Some(server));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for connections that are there too: those are cut.
    pub(crate) fn set(&self, trouble: Trouble) {
        self.shared.trouble.send_replace(trouble);
    }

    pub(crate) fn repair(&self) {
        self.set(Trouble::None);
    }

    /// How many the server has sent, over all connections.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// How many clients have sent to the server, over all connections.
    pub(crate) fn bytes_to_server(&self) -> u64 {
        self.shared.bytes_to_server.load(Ordering::Relaxed)
    }

    /// How many there have been.
    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// Waits until there have been so many.
    pub(crate) async fn connected(&self, count: usize) {
        let mut connections = self.shared.connections.subscribe();
        let waiting = connections.wait_for(|seen| *seen >= count);
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        in_time
            .expect("somebody connects")
            .expect("the line is there");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(socket: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = socket.accept().await {
        shared.connections.send_modify(|seen| *seen += 1);
        let mut trouble = shared.trouble.subscribe();
        let (now, shared) = (*trouble.borrow_and_update(), Arc::clone(&shared));
        tokio::spawn(async move {
            tokio::select! {
                _ = trouble.changed() => {}
                () = serve(client, &shared, now) => {}
            }
        });
    }
}

async fn serve(client: TcpStream, shared: &Shared, trouble: Trouble) {
    let (mut from_client, mut to_client) = client.into_split();
    match trouble {
        Trouble::Refused => {}
        Trouble::Silent => {
            copy(&mut from_client, &mut tokio::io::sink(), u64::MAX, |_| ()).await;
            std::future::pending::<()>().await;
        }
        Trouble::None | Trouble::CutAfter(_) | Trouble::UnansweredFrom(_) => {
            let Some(server) = *shared.server.borrow() else {
                return;
            };
            let Ok(server) = TcpStream::connect(server).await else {
                return;
            };
            let (mut from_server, mut to_server) = server.into_split();
            let most = match trouble {
                Trouble::CutAfter(bytes) => bytes,
                _ => u64::MAX,
            };
            let count = |piece: &[u8]| {
                shared
                    .bytes
                    .fetch_add(piece.len() as u64, Ordering::Relaxed);
            };
            let muted = Notify::new();
            let hear = |piece: &[u8]| {
                let bytes = piece.len() as u64;
                shared.bytes_to_server.fetch_add(bytes, Ordering::Relaxed);
                if let Trouble::UnansweredFrom(text) = trouble
                    && String::from_utf8_lossy(piece).contains(text)
                {
                    muted.notify_one();
                }
            };
            let answers = async {
                tokio::select! {
                    () = copy(&mut from_server, &mut to_client, most, count) => {}
                    () = muted.notified() => std::future::pending().await,
                }
            };
            tokio::select! {
                () = copy(&mut from_client, &mut to_server, u64::MAX, hear) => {}
                () = answers => {}
            }
        }
    }
}

/// Until one side ends, or so many bytes are through.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    bytes: u64,
    seen: impl Fn(&[u8]),
) {
    let mut limited = from.take(bytes);
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = limited.read(&mut buffer).await {
        seen(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // The other side may be gone already.
    let _ = to.flush().await;
}
