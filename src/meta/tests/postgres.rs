//! What only PostgreSQL can do to us: other replicas, and a server that goes away.

use std::{net::SocketAddr, path::Path, time::Duration};

use futures_util::future::{join_all, poll_immediate};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    time::{Instant, pause, resume, sleep},
};

use super::*;
use crate::meta::operation::WRITE_TIMEOUT;

/// Between the test's server and us.
struct Wire {
    url: config::Database,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Whole,
    /// Connections are closed, new ones at once.
    Cut,
    /// Nothing comes through, and nobody says so.
    Silent,
}

impl Wire {
    async fn new() -> Self {
        let url = url::Url::parse(&postgres_server::fresh_database().await).unwrap();
        let folder = url.query_pairs().find(|(key, _)| key == "host").unwrap().1;
        let socket = Path::new(&*folder).join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (state, changes) = watch::channel(State::Whole);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(pass(client, server, changes.clone()));
            }
        });
        let url = format!(
            "postgres://entrepot:hunter2@{address}{}?sslmode=disable",
            url.path()
        );
        Self {
            url: postgres_at(&url),
            state,
        }
    }
}

async fn pass(mut client: TcpStream, mut server: UnixStream, mut state: watch::Receiver<State>) {
    loop {
        let now = *state.borrow_and_update();
        let changed = async { drop(state.changed().await) };
        match now {
            State::Cut => return,
            State::Silent => changed.await,
            State::Whole => tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => return,
                () = changed => {}
            },
        }
    }
}

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once() {
    let at = postgres_at(&postgres_server::fresh_database().await);
    let metas = join_all((0..5).map(|_| Meta::open(&at))).await;
    for (index, meta) in metas.into_iter().enumerate() {
        let meta = meta.unwrap();
        meta.tag_put(&name("p/r"), &tag(&format!("v{index}")), row("one", 1))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn replicas_that_write_the_same_rows_do_not_fail_each_others_writes() {
    let database = Database::postgres().await;
    let second = Meta::open(&database.at).await.unwrap();
    let third = Meta::open(&database.at).await.unwrap();
    let write = async |meta: &Meta, forwards: bool| {
        let commits = (0..60).map(|index| {
            let index = if forwards { index } else { 59 - index };
            let mut image = commit(&format!("p/r{}", index % 3), &format!("image {index}"));
            image.manifest.blobs = vec![descriptor("layer", Some(1))];
            image.tag = Some((tag(&format!("v{}", index % 10)), at(index)));
            meta.manifest_commit(image)
        });
        join_all(commits).await
    };
    let (one, two, three) = tokio::join!(
        write(&database.meta, true),
        write(&third, false),
        delete_all(&second),
    );
    for outcome in one.into_iter().chain(two) {
        outcome.unwrap();
    }
    for outcome in three {
        outcome.unwrap();
    }
}

async fn delete_all(meta: &Meta) -> Vec<Result<Option<Removed>, MetaError>> {
    let images: Vec<_> = (0..60)
        .map(|index| digest(&format!("image {index}")))
        .collect();
    let repository = name("p/r0");
    let deletes = images
        .iter()
        .map(|image| meta.image_delete(&repository, image, Removal::Purge));
    join_all(deletes).await
}

#[tokio::test]
async fn a_group_that_is_in_a_deadlock_is_undone_and_each_write_tried_again() {
    let database = Database::postgres().await;
    let mut outside = database.outside().await;
    // The writer is the one that finds the deadlock, and gives way; it looks for one after so long.
    run(
        &mut outside,
        "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || \
         ' SET deadlock_timeout = ''2s'''; END $$; SET deadlock_timeout = '60s'",
    )
    .await;
    let meta = &database.meta;
    let repository = name("p/r");
    for label in ["a", "b"] {
        let put = meta.tag_put(&repository, &tag(label), row("one", 1)).await;
        put.unwrap();
    }
    run(
        &mut outside,
        "BEGIN; UPDATE tag SET size_bytes = size_bytes WHERE name = 'a'",
    )
    .await;
    let (label_a, label_b) = (tag("a"), tag("b"));
    let (b, a, ()) = tokio::join!(
        meta.tag_put(&repository, &label_b, row("two", 2)),
        meta.tag_put(&repository, &label_a, row("two", 2)),
        async {
            let waiting = "SELECT COUNT(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let mut watching = database.outside().await;
            while count(&mut watching, waiting).await == 0 {
                sleep(Duration::from_millis(5)).await;
            }
            run(
                &mut outside,
                "UPDATE tag SET size_bytes = size_bytes WHERE name = 'b'; COMMIT",
            )
            .await;
        }
    );
    a.unwrap();
    b.unwrap();
    for label in [&label_a, &label_b] {
        let read = meta.tag(&repository, label).await.unwrap();
        assert_eq!(read, Some(row("two", 2)));
    }
    // One for each put, the group, and each write of it alone.
    assert_eq!(meta.transactions(), 2 + 1 + 2);
}

#[tokio::test]
async fn connections_that_the_server_ended_are_made_anew() {
    let database = Database::postgres().await;
    let meta = &database.meta;
    let (repository, latest) = (name("p/r"), tag("latest"));
    let mut outside = database.outside().await;
    for second in 1..5 {
        meta.tag_put(&repository, &latest, row("one", second))
            .await
            .unwrap();
        let read = meta.tag_read(&repository, &latest).await.unwrap();
        assert_eq!(read, Some(row("one", second)));
        run(
            &mut outside,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }
}

#[tokio::test]
async fn while_the_server_is_away_calls_fail_in_time_and_then_all_is_well() {
    for away in [State::Cut, State::Silent] {
        let wire = Wire::new().await;
        let meta = Meta::open(&wire.url).await.unwrap();
        let (repository, latest) = (name("p/r"), tag("latest"));
        let put = async |second| meta.tag_put(&repository, &latest, row("one", second)).await;
        put(1).await.unwrap();
        meta.tag_read(&repository, &latest).await.unwrap();

        wire.state.send_replace(away);
        pause();
        let begun = Instant::now();
        let (written, read) = tokio::join!(put(2), meta.tag_read(&repository, &latest));
        let (written, read) = (written.unwrap_err(), read.unwrap_err());
        assert!(begun.elapsed() <= WRITE_TIMEOUT + Duration::from_secs(1));
        resume();
        assert!(!format!("{written} {written:?} {read} {read:?}").contains("hunter2"));

        wire.state.send_replace(State::Whole);
        put(3).await.unwrap();
        let read = meta.tag_read(&repository, &latest).await.unwrap();
        assert_eq!(read, Some(row("one", 3)));
        meta.close().await;
    }
}

#[tokio::test]
async fn calls_that_are_dropped_half_way_leave_no_transaction_and_no_bad_connection() {
    let database = Database::postgres().await;
    let meta = &database.meta;
    let (repository, latest) = (name("p/r"), tag("latest"));
    for second in 1..100 {
        let put = meta.tag_put(&repository, &latest, row("one", second));
        assert!(poll_immediate(put).await.is_none());
        let mut read = std::pin::pin!(meta.tag_read(&repository, &latest));
        for _ in 0..second % 7 {
            let _ = poll_immediate(read.as_mut()).await;
            tokio::task::yield_now().await;
        }
    }
    meta.tag_put(&repository, &latest, row("one", 100))
        .await
        .unwrap();
    for _ in 0..20 {
        let read = meta.tag_read(&repository, &latest).await.unwrap();
        assert_eq!(read, Some(row("one", 100)));
    }
    let open = "SELECT COUNT(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(count(&mut *database.outside().await, open).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_reached_is_named_without_the_password() {
    // A port that nobody listens on: it was just ours.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let at = postgres_at(&format!("postgres://user:hunter2@{address}/db"));
    let error = Meta::open(&at).await.err().expect("nobody is there");
    let text = format!("{error} {error:?}");
    assert!(text.contains(&format!("postgres://{address}/db")), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
