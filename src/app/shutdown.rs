//! The end: what tells the process to stop, and the order in which it does.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tracing::{info, warn};

use super::{App, listener::Connections};

/// Background work and the database get this long after the connections are gone.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Resolves to a future that ends with SIGTERM or SIGINT. The signals are caught from this call on.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "{name}: stopping");
    })
}

/// 1. No new connections and requests. 2. Those that run may end within the grace time. 3. The rest is cut.
/// 4. Background work ends. 5. Rows are durable.
pub(super) async fn drain(app: App, connections: Connections) {
    app.leaving.cancel();
    end_connections(&connections, app.config.server.shutdown_grace).await;
    app.shutdown.cancel();
    app.tasks.close();
    if timeout(END_TIMEOUT, app.tasks.wait()).await.is_err() {
        warn!("background work did not end within {END_TIMEOUT:?}");
    }
    if let Some(cluster) = &app.cluster
        && timeout(END_TIMEOUT, cluster.leave()).await.is_err()
    {
        warn!("the other replicas were not told within {END_TIMEOUT:?} that this one ends");
    }
    if timeout(END_TIMEOUT, app.meta.close()).await.is_err() {
        warn!("the database did not close within {END_TIMEOUT:?}");
    }
    info!("stopped");
}

/// Steps 1 to 3.
pub(super) async fn end_connections(connections: &Connections, grace: Duration) {
    connections.stop.cancel();
    connections.open.close();
    if timeout(grace, connections.open.wait()).await.is_ok() {
        return;
    }
    let count = connections.open.len();
    warn!(
        count,
        "cutting {count} connections that did not end within {grace:?}"
    );
    connections.cut.cancel();
    connections.open.wait().await;
}
