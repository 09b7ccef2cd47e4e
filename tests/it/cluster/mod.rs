//! Several servers on one database and one bucket, behind one another's lines.

mod changes;
mod fills;
mod hosted;
mod limits;
mod outages;
mod processes;
mod pushes;
mod secrets;

use crate::{
    api::PASSWORD,
    harness::{Bucket, FakeRegistry, Line},
    postgres_server::fresh_database,
    process::Process,
    server::{Setup, TestServer},
};

const SECRET: &str = "a secret of 32 bytes or so, or so";

/// What replicas have in common.
struct Shared {
    database: String,
    bucket: Bucket,
    /// The way to the bucket.
    line: Line,
}

/// One of them, in this process.
struct Replica {
    server: TestServer,
    /// The others' way to it.
    line: Line,
}

impl Shared {
    async fn new() -> Self {
        let bucket = Bucket::new();
        let line = Line::to(bucket.server()).await;
        Self {
            database: fresh_database().await,
            bucket: bucket.behind(line.address()),
            line,
        }
    }

    /// What a member is told by its environment.
    fn variables(&self, line: &Line) -> Vec<(String, String)> {
        let own = [
            ("ENTREPOT__DATABASE__URL", self.database.clone()),
            (
                "ENTREPOT__CLUSTER__ADVERTISE_URL",
                format!("http://{}", line.address()),
            ),
            ("ENTREPOT__CLUSTER__SECRET", SECRET.to_owned()),
            ("ENTREPOT__ACCESS__ADMIN_PASSWORD", PASSWORD.to_owned()),
        ];
        let own = own
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        own.chain(self.bucket.variables("content")).collect()
    }

    async fn replica(&self, setup: Setup) -> Replica {
        self.replica_with(setup, SECRET).await
    }

    async fn replica_with(&self, mut setup: Setup, secret: &str) -> Replica {
        let line = Line::to_nowhere().await;
        for (name, value) in self.variables(&line) {
            setup = setup.variable(&name, &value);
        }
        let server = setup
            .variable("ENTREPOT__CLUSTER__SECRET", secret)
            .start()
            .await;
        line.lead_to(address(server.url()));
        Replica { server, line }
    }

    /// A replica as a process of its own, which can be killed.
    async fn process(&self, setup: &Setup) -> (Process, Line) {
        let line = Line::to_nowhere().await;
        let variables = self.variables(&line);
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let process = Process::serve(&setup.text(), &variables).await;
        line.lead_to(address(&process.url));
        (process, line)
    }

    /// Several that mirror this remote as project `r`.
    async fn replicas(&self, count: usize, remote: &FakeRegistry) -> Vec<Replica> {
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(self.replica(mirror(remote)).await);
        }
        replicas
    }
}

fn mirror(remote: &FakeRegistry) -> Setup {
    Setup::empty().mirror("r", remote, "visibility = \"public\"")
}

fn address(url: &str) -> std::net::SocketAddr {
    let address = url.strip_prefix("http://").expect("no TLS here");
    address.parse().expect("an address and a port")
}

/// Waits until this is true.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(20), wait).await;
    assert!(in_time.is_ok(), "{what}: waited in vain");
}
