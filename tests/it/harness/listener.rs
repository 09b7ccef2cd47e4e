//! The port of a fake registry: kept while the server is stopped, so that it can start again there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::stream::Stream;
use super::{http1, http2};

/// A bound port. The socket that only reserves it never listens: connections are refused.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) address: SocketAddr,
    _reserved: TcpSocket,
}

/// What accepted connections meet.
#[derive(Clone)]
pub(super) enum Service {
    Answering {
        server: Arc<Server>,
        tls: Option<Arc<ServerConfig>>,
    },
    /// Connections are accepted and nothing is ever said.
    Silent,
}

/// An accept loop with all its connections.
#[derive(Debug)]
pub(super) struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

// === impl Port ===

impl Port {
    pub(super) fn reserve(address: SocketAddr) -> io::Result<Self> {
        let reserved = reusable_socket(address)?;
        Ok(Self {
            address: reserved.local_addr()?,
            _reserved: reserved,
        })
    }

    pub(super) fn listen(&self, service: Service) -> io::Result<Running> {
        let listener = reusable_socket(self.address)?.listen(1024)?;
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(accept(listener, service, shutdown.clone()));
        Ok(Running { shutdown, task })
    }
}

fn reusable_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

// === impl Running ===

impl Running {
    /// When this returns the port refuses connections and the old ones are closed.
    pub(super) async fn stop(mut self) {
        self.shutdown.cancel();
        // An error means that the loop panicked; its sockets are closed all the same.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, service: Service, shutdown: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            Ok((socket, _)) = listener.accept() => {
                connections.spawn(serve(socket, service.clone()));
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve(socket: TcpStream, service: Service) {
    let Service::Answering { server, tls } = service else {
        return keep(socket).await;
    };
    server.connected();
    // Small writes of faults must be seen one by one.
    let _ = socket.set_nodelay(true);
    let Some(tls) = tls else {
        return http1::serve(Stream::Plain(socket), server).await;
    };
    // A handshake fails when a test wants it to.
    let Ok(stream) = TlsAcceptor::from(tls).accept(socket).await else {
        return;
    };
    let stream = Stream::Tls(Box::new(stream));
    if stream.speaks_http2() {
        return http2::serve(stream, server).await;
    }
    http1::serve(stream, server).await;
}

/// Holds the connection open without a word.
async fn keep(_socket: TcpStream) {
    std::future::pending::<()>().await;
}
