//! The writer: groups, failures, callers that go away.

use std::task::Poll;

use futures_util::future::{join_all, poll_immediate};
use tokio::time::timeout;

use super::*;

on_both! {
    a_connection_that_is_dropped_in_a_transaction_takes_it_along,
    a_write_waits_for_the_transaction_of_another_process,
    two_hundred_concurrent_writers_share_few_transactions_and_all_are_durable,
    an_answer_comes_only_after_the_commit,
    a_write_whose_caller_went_away_still_happens,
    writes_beyond_the_queue_happen_too_even_when_their_callers_went_away,
    one_write_that_fails_does_not_undo_the_others_of_its_transaction,
}

async fn commit_many(meta: &Meta, count: usize) -> Vec<Result<(), MetaError>> {
    join_all((0..count).map(|index| {
        let mut image = commit(&format!("p/r{}", index % 7), &format!("image {index}"));
        image.tag = Some((tag(&format!("v{index}")), at(1)));
        meta.manifest_commit(image)
    }))
    .await
}

/// Nobody else writes until the connection is given `ROLLBACK`.
async fn hold(database: &Database) -> Lease {
    let mut outside = database.outside().await;
    outside.begin().await.unwrap();
    outside
}

async fn a_connection_that_is_dropped_in_a_transaction_takes_it_along(database: Database) {
    let pool = database.pool().await;
    let mut lease = pool.lease().await.unwrap();
    lease.begin().await.unwrap();
    run(
        &mut lease,
        "INSERT INTO repository (name, project, has_content) VALUES ('p/r', 'p', TRUE)",
    )
    .await;
    drop(lease);
    // There is one connection at a time in this pool.
    let mut next = pool.lease().await.unwrap();
    assert_eq!(count(&mut next, "SELECT COUNT(*) FROM repository").await, 0);
    next.begin().await.unwrap();
}

async fn a_write_waits_for_the_transaction_of_another_process(database: Database) {
    let meta = &database.meta;
    meta.tag_put(&name("p/r"), &tag("one"), row("one", 1))
        .await
        .unwrap();
    let mut held = hold(&database).await;
    let (repository, other) = (name("p/other"), tag("two"));
    let mut put = std::pin::pin!(meta.tag_put(&repository, &other, row("two", 1)));
    let early = timeout(Duration::from_millis(200), &mut put).await;
    assert!(early.is_err(), "{early:?}");
    run(&mut held, "ROLLBACK").await;
    put.await.unwrap();
}

async fn two_hundred_concurrent_writers_share_few_transactions_and_all_are_durable(
    database: Database,
) {
    let mut held = hold(&database).await;
    let begun = database.meta.transactions();
    let meta = database.meta.clone();
    let (outcomes, ()) = tokio::join!(commit_many(&meta, 200), async {
        // By now all are queued: the first future was polled before this one.
        run(&mut held, "ROLLBACK").await;
    });
    held.close().await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let transactions = meta.transactions() - begun;
    assert!(transactions < 100, "{transactions} transactions");

    let database = database.reopen().await;
    for index in 0..200 {
        let repository = name(&format!("p/r{}", index % 7));
        let row = database
            .meta
            .tag(&repository, &tag(&format!("v{index}")))
            .await
            .unwrap();
        assert_eq!(
            row.unwrap().target.digest,
            digest(&format!("image {index}"))
        );
    }
}

async fn an_answer_comes_only_after_the_commit(database: Database) {
    let meta = &database.meta;
    let mut outside = database.outside().await;
    for index in 0..50 {
        meta.tag_put(&name("p/r"), &tag(&format!("v{index}")), row("one", 1))
            .await
            .unwrap();
        let count = count(&mut outside, "SELECT COUNT(*) FROM tag").await;
        assert_eq!(count, index + 1);
    }
}

async fn a_write_whose_caller_went_away_still_happens(database: Database) {
    let meta = &database.meta;
    let mut held = hold(&database).await;
    for index in 0..50 {
        let label = tag(&format!("v{index}"));
        let repository = name("p/r");
        let put = meta.tag_put(&repository, &label, row("one", 1));
        assert!(poll_immediate(put).await.is_none());
    }
    run(&mut held, "ROLLBACK").await;
    meta.tag_put(&name("p/r"), &tag("last"), row("one", 1))
        .await
        .unwrap();
    assert_eq!(
        meta.tags_since(&name("p/r"), at(0)).await.unwrap().len(),
        51
    );
}

async fn writes_beyond_the_queue_happen_too_even_when_their_callers_went_away(database: Database) {
    let meta = &database.meta;
    let mut held = hold(&database).await;
    let count = crate::meta::writer::QUEUE + 100;
    let repository = name("p/r");
    for index in 0..count {
        let name = tag(&format!("v{index}"));
        let mut put = std::pin::pin!(meta.tag_put(&repository, &name, row("one", 1)));
        let poll = std::future::poll_fn(|context| Poll::Ready(put.as_mut().poll(context))).await;
        assert!(poll.is_pending());
    }
    run(&mut held, "ROLLBACK").await;
    let database = database.reopen().await;
    assert_eq!(
        database
            .meta
            .tags_since(&repository, at(0))
            .await
            .unwrap()
            .len(),
        count
    );
}

async fn one_write_that_fails_does_not_undo_the_others_of_its_transaction(database: Database) {
    let meta = &database.meta;
    let mut outside = database.outside().await;
    let trigger = if database.is_sqlite() {
        "CREATE TRIGGER bad BEFORE INSERT ON tag WHEN NEW.name = 'v5' \
         BEGIN SELECT RAISE(ABORT, 'told to fail'); END"
    } else {
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql \
         AS 'BEGIN RAISE EXCEPTION ''told to fail''; END'; \
         CREATE TRIGGER bad BEFORE INSERT ON tag FOR EACH ROW WHEN (NEW.name = 'v5') \
         EXECUTE FUNCTION fail()"
    };
    run(&mut outside, trigger).await;
    let mut held = hold(&database).await;
    let (outcomes, ()) = tokio::join!(commit_many(meta, 10), run(&mut held, "ROLLBACK"));
    for (index, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), index != 5, "{index}: {outcome:?}");
    }
    assert!(
        outcomes[5]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("told to fail")
    );
    for index in 0..10 {
        let repository = name(&format!("p/r{}", index % 7));
        let image = meta
            .manifest(&repository, &digest(&format!("image {index}")))
            .await
            .unwrap();
        // All of the failed write is undone, its manifest too.
        assert_eq!(image.is_some(), index != 5, "{index}");
    }
}

#[tokio::test]
async fn when_the_database_drops_the_transaction_nobody_is_told_yes_and_the_writer_goes_on() {
    let database = Database::sqlite().await;
    let meta = &database.meta;
    let mut outside = database.outside().await;
    run(
        &mut outside,
        "CREATE TRIGGER bad BEFORE INSERT ON tag WHEN NEW.name = 'v5' \
         BEGIN SELECT RAISE(ROLLBACK, 'disk is full'); END",
    )
    .await;
    let mut held = hold(&database).await;
    let (outcomes, ()) = tokio::join!(commit_many(meta, 10), run(&mut held, "ROLLBACK"));
    for (index, outcome) in outcomes.iter().enumerate() {
        let repository = name(&format!("p/r{}", index % 7));
        let image = meta
            .manifest(&repository, &digest(&format!("image {index}")))
            .await
            .unwrap();
        assert_eq!(outcome.is_ok(), image.is_some(), "{index}: {outcome:?}");
    }
    assert!(outcomes[5].is_err());
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, MetaError::Transaction(_)), "{error:?}");
        assert!(error.to_string().contains("disk is full"), "{error}");
    }
    meta.tag_put(&name("p/r"), &tag("next"), row("one", 1))
        .await
        .unwrap();
}
