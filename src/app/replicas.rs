//! The database, alone or as one of several replicas, and what replicas do for each other in the background.

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use super::StartError;
use crate::{
    client::{self, Remotes},
    cluster::{Cluster, MemberId},
    config::Config,
    meta::Meta,
    transfer::SharedLimits,
};

pub(super) async fn open(config: &Config) -> Result<(Meta, Option<Cluster>), StartError> {
    let Some(shared) = &config.cluster else {
        let meta = Meta::open(&config.database).await?;
        info!(database = %config.database, "database is open");
        return Ok((meta, None));
    };
    let me = MemberId::new();
    let meta = Meta::open_shared(&config.database, me.as_str()).await?;
    info!(database = %config.database, "database is open");
    let cluster = Cluster::join(me, shared, meta.clone(), client::usual_tls()).await?;
    info!(replica = %cluster.me(), replicas = cluster.size(), "joined the other replicas");
    Ok((meta, Some(cluster)))
}

pub(super) fn start(
    cluster: &Cluster,
    meta: &Meta,
    remotes: &Remotes,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    tasks.spawn(cluster.clone().run(shutdown.clone()));
    let live = remotes.clone();
    let limits = SharedLimits::new(cluster.clone(), meta.clone(), move || live.all());
    tasks.spawn(limits.run(shutdown.clone()));
}
