//! The same crowd, spread over replicas on one database and one bucket.
//!
//! PostgreSQL and the S3 server are those of the tests, without `fsync`: what is judged is how often
//! the remote is asked for the blob.

#[path = "../../tests/it/harness/bucket.rs"]
mod bucket;
#[path = "../../tests/it/harness/postgres.rs"]
mod postgres;

use std::net::SocketAddr;

use anyhow::Result;

use crate::cold::DIRECT;
use crate::crowd::{Crowd, PHASE};
use crate::link::Link;
use crate::remote::Remote;
use crate::samples::shuffled;
use crate::server::{Mirror, Server, start_entrepot};
use crate::tools::block_on;
use crate::{Bench, progress};
use bucket::Bucket;

const REPLICAS: usize = 3;
const SECRET: &str = "a secret of these replicas alone";

pub(crate) fn measure(bench: &mut Bench, crowd: &mut Crowd) -> Result<()> {
    let entrepot = Mirror::Entrepot;
    if !bench.mirrors.contains(&entrepot) {
        return Ok(());
    }
    progress("replicas: starting them");
    let remote = Remote::start(bench)?;
    let link = Link::start(remote.address(), crowd.setting.remote)?;
    let bucket = Bucket::new();
    let replicas = start(bench, &bucket, link.address())?;
    let addresses = replicas.iter().map(|replica| replica.address);
    let clients: Vec<_> = addresses.cycle().take(crowd.setting.clients).collect();

    let blobs = remote.push_blobs(bench.plan.crowd_rounds, bench.plan.crowd_bytes)?;
    for (round, blob) in blobs.iter().enumerate() {
        let name = crowd.setting.name;
        progress(&format!("one cold blob, {name}, round {}", round + 1));
        let direct = vec![link.address()];
        for (name, addresses) in shuffled([(entrepot.name(), &clients), (DIRECT, &direct)]) {
            crowd.visit(name, addresses, blob, &link)?;
        }
    }
    for replica in &replicas {
        bench
            .memory
            .note(replica.name, PHASE, replica.daemon.memory()?);
    }
    Ok(())
}

/// Each with a folder of its own; they end before the database and the bucket.
fn start(bench: &Bench, bucket: &Bucket, remote: SocketAddr) -> Result<Vec<Server>> {
    let mut shared = bucket.variables("cache");
    let database = block_on(postgres::fresh_database())?;
    shared.push(("ENTREPOT__DATABASE__URL".to_owned(), database));
    for key in ["CLUSTER__SECRET", "ACCESS__ADMIN_PASSWORD", "SECRETS__KEY"] {
        shared.push((format!("ENTREPOT__{key}"), SECRET.to_owned()));
    }
    let settings = |address: SocketAddr| {
        let url = format!("http://{address}");
        let advertise = ("ENTREPOT__CLUSTER__ADVERTISE_URL".to_owned(), url);
        shared.iter().cloned().chain([advertise]).collect()
    };
    (0..REPLICAS)
        .map(|_| start_entrepot(bench.new_folder()?, bench, remote, &settings))
        .collect()
}
