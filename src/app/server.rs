//! The server: its addresses, what is mounted there, and how it runs and ends.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use tracing::info;

use super::{
    App, StartError,
    listener::{Connections, Listener},
    open_files,
    room::Room,
    router, shutdown, tls,
};
use crate::{config::Secret, v2};

/// An [`App`] that has its addresses.
pub struct Server {
    app: App,
    main: Listener,
    mirror_only: Option<Listener>,
    connections: Connections,
}

impl App {
    /// Takes the addresses that the configuration names.
    pub async fn bind(self) -> Result<Server, StartError> {
        let server = &self.config.server;
        let main = socket(server.listen).await?;
        let mirror_only = match server.mirror_listen {
            Some(address) => Some(socket(address).await?),
            None => None,
        };
        let connections = Connections::new(self.metrics.clone());
        let parts = self.v2_parts([Some(&main), mirror_only.as_ref()].into_iter().flatten());
        let tls = match &self.certificates {
            Some(certificates) => Some(tls::acceptor(certificates)?),
            None => None,
        };
        let listeners = 1 + usize::from(mirror_only.is_some());
        let trusted = &self.config.server.trusted_proxies;
        let listener = |socket, kind| Listener {
            socket,
            tls: tls.clone(),
            router: router::router(&self, parts.clone(), kind),
            connections: connections.clone(),
            room: Room::new(open_files::allowed(), listeners, trusted.clone()),
        };
        let main = listener(main, v2::Listener::Main);
        let mirror_only = mirror_only.map(|socket| listener(socket, v2::Listener::MirrorOnly));
        Ok(Server {
            main,
            mirror_only,
            connections,
            app: self,
        })
    }

    fn v2_parts<'a>(&self, sockets: impl Iterator<Item = &'a TcpListener>) -> v2::Parts {
        let public_url = self.config.server.public_url.as_ref();
        let public = public_url.and_then(|url| {
            let host = url.host_str()?;
            Some(match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            })
        });
        let own_hosts = sockets
            .filter_map(|socket| socket.local_addr().ok())
            .map(|address| address.to_string())
            .chain(public)
            .collect();
        v2::Parts {
            mirror: self.mirror.clone(),
            pushes: self.pushes.clone(),
            projects: self.projects.clone(),
            settings: self.settings.clone(),
            auto_create_projects: self.config.access.auto_create_projects,
            meta: self.meta.clone(),
            gate: Arc::clone(&self.gate),
            metrics: self.metrics.clone(),
            own_hosts,
            site: self.site(),
            tasks: self.tasks.clone(),
        }
    }
}

impl Server {
    /// Where `server.listen` really listens (a port 0 has become a number).
    pub fn address(&self) -> SocketAddr {
        self.main.address()
    }

    /// Where `server.mirror_listen` really listens.
    pub fn mirror_address(&self) -> Option<SocketAddr> {
        self.mirror_only.as_ref().map(Listener::address)
    }

    /// The password of the user `admin`, when this start has made it: to be shown now, and never again.
    pub fn new_password(&self) -> Option<&Secret> {
        self.app.new_password.as_ref()
    }

    /// Serves until `stop` is done, then drains: no new connections, requests that run may end within `shutdown_grace`,
    /// what is left is cut, background work ends, rows are durable.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self {
            app,
            main,
            mirror_only,
            connections,
        } = self;
        let listeners = [Some(main), mirror_only];
        for listener in listeners.into_iter().flatten() {
            info!(address = %listener.address(), tls = listener.tls.is_some(), "listening");
            app.tasks.spawn(listener.run());
        }
        stop.await;
        shutdown::drain(app, connections).await;
    }
}

async fn socket(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Bind { address, source })
}
