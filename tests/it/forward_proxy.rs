//! A small forward proxy: absolute-form HTTP and `CONNECT`, with a record of what was asked.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub(crate) struct ForwardProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl ForwardProxy {
    pub(crate) async fn start() -> Self {
        Self::with_routes(&[]).await
    }

    /// Some hosts (with their ports) are elsewhere than their names say.
    pub(crate) async fn with_routes(routes: &[(&str, &str)]) -> Self {
        let routes = routes
            .iter()
            .map(|(host, at)| ((*host).to_owned(), (*at).to_owned()));
        let routes: Arc<HashMap<String, String>> = Arc::new(routes.collect());
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let record = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = socket.accept().await {
                tokio::spawn(serve(client, Arc::clone(&record), Arc::clone(&routes)));
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Heads of the first request of each connection.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection to one server; what follows the first head is copied as it is.
async fn serve(
    mut client: TcpStream,
    asked: Arc<Mutex<Vec<String>>>,
    routes: Arc<HashMap<String, String>>,
) -> Option<()> {
    let route = |host: &str| routes.get(host).cloned().unwrap_or_else(|| host.to_owned());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let text = String::from_utf8(head).ok()?;
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(text.clone());
    let mut words = text.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if method == "CONNECT" {
        let mut server = TcpStream::connect(route(target)).await.ok()?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
        copy_bidirectional(&mut client, &mut server).await.ok()?;
        return Some(());
    }
    // `GET http://host/path` becomes `GET /path`, and the connection ends after its answer.
    let (host, path) = target.strip_prefix("http://")?.split_once('/')?;
    let mut server = TcpStream::connect(route(host)).await.ok()?;
    let rest = text.split_once("\r\n")?.1;
    let request = format!("{method} /{path} HTTP/1.1\r\nconnection: close\r\n{rest}");
    server.write_all(request.as_bytes()).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
