//! Opens the database, alone or as one of several replicas.

use tracing::info;

use super::StartError;
use crate::{
    client,
    cluster::{Cluster, MemberId},
    config::Config,
    meta::Meta,
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
