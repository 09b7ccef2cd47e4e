//! Replicas without their database, for a while.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{Shared, mirror, until};
use crate::{
    fill::KIB,
    harness::{FakeRegistry, ImageBuilder, get},
};

/// Connects to the database `postgres` of the same server.
async fn admin(url: &str) -> (PgConnection, String) {
    let mut url = url::Url::parse(url).expect("a URL");
    let name = url.path().trim_start_matches('/').to_owned();
    url.set_path("/postgres");
    let connection = PgConnection::connect(url.as_str()).await;
    (connection.expect("the server runs"), name)
}

async fn allow(url: &str, is_allowed: bool) {
    let (mut connection, name) = admin(url).await;
    for sql in [
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {is_allowed}"),
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    ] {
        let done = connection.execute(AssertSqlSafe(sql)).await;
        done.expect("we may do that");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_replica_answers_what_it_remembers_and_recovers() {
    let remote = FakeRegistry::start().await;
    let image = |seed| ImageBuilder::new(seed).layer(64 * KIB).build();
    let (known, new) = (image(1), image(2));
    remote.put_image("app", "known", &known);
    remote.put_image("app", "new", &new);
    let shared = Shared::new().await;
    let setup = mirror(&remote).freshness("mode = \"ttl\"\nttl = \"1h\"\ntags = \"**\"");
    let replica = shared.replica(setup).await;
    let layer = known.layers().remove(0);
    let urls = [
        replica.server.manifest_url("r/app", "known"),
        replica.server.blob_url("r/app", &layer),
    ];
    for url in &urls {
        for _ in 0..2 {
            assert_eq!(get(url).await.status, 200);
            replica.server.settled().await;
        }
    }
    allow(&shared.database, false).await;
    for url in &urls {
        assert_eq!(get(url).await.status, 200);
    }
    allow(&shared.database, true).await;
    until("it recovers", async || {
        get(&replica.server.manifest_url("r/app", "new"))
            .await
            .status
            == 200
    })
    .await;
    for url in &urls {
        assert_eq!(get(url).await.status, 200);
    }
}
