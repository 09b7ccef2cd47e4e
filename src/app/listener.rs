//! The accept loop: as many connections as there is room for, each a task of its own.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    connection::{Connection, Http},
    room::{Place, Room},
    stream::ClientStream,
};
use crate::telemetry::Metrics;

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
    /// Of this listener alone: a flood of one leaves the other reachable.
    pub(super) room: Room,
}

impl Listener {
    pub(super) fn address(&self) -> SocketAddr {
        self.socket
            .local_addr()
            .expect("a socket that is bound has an address")
    }

    /// Accepts until `stop`; each connection is a task of its own in `open`.
    pub(super) async fn run(self) {
        let http = Arc::new(Http::new());
        let stop = self.connections.stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((stream, place, peer)) => self.accepted(stream, place, peer, &http),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The next connection that there is a place for; while there is none, new ones wait outside.
    async fn accept(&self) -> io::Result<(TcpStream, Place, SocketAddr)> {
        loop {
            self.room.free().await;
            let (stream, peer) = self.socket.accept().await?;
            if let Some(place) = self.room.take(peer.ip()) {
                return Ok((stream, place, peer));
            }
            debug!(%peer, "a client has more than its share of connections");
        }
    }

    fn accepted(&self, stream: TcpStream, place: Place, peer: SocketAddr, http: &Arc<Http>) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let connection = Connection {
            peer,
            http: Arc::clone(http),
            router: self.router.clone(),
            stop: self.connections.stop.clone(),
        };
        let stream = ClientStream::new(stream);
        let tls = self.tls.clone();
        let cut = self.connections.cut.clone();
        let metrics = self.connections.metrics.clone();
        self.connections.open.spawn(async move {
            metrics.connections(1);
            tokio::select! {
                () = cut.cancelled() => {}
                () = connection.run(stream, tls) => {}
            }
            metrics.connections(-1);
            drop(place);
        });
    }
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
