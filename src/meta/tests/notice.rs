//! Notices in one order, and how far webhooks have got with them.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    rule::{DONE, end, hold, planned, work},
    *,
};

on_both! {
    what_executions_come_to_stands_between_the_events_of_its_time,
    a_page_that_is_cut_leaves_nothing_out_and_keeps_the_order,
    a_webhook_begins_with_what_happens_next_and_goes_on_where_it_was,
    a_webhook_is_sent_for_by_one_at_a_time,
    a_webhook_that_rests_is_not_due,
    what_a_webhook_has_not_passed_is_not_forgotten,
}

const MINUTE: Duration = Duration::from_mins(1);

async fn push(meta: &Meta, content: &str) {
    let push = ManifestPush {
        commit: commit("p/r", content),
        tags: vec![tag(content)],
        fixed: Vec::new(),
        blobs: Vec::new(),
        manifests: Vec::new(),
        seeded: false,
        pushed_by: None,
        object: None,
    };
    assert_eq!(
        meta.manifest_push(push).await.unwrap(),
        ManifestPushed::Done
    );
}

/// The words for what happened, page by page.
async fn told(meta: &Meta, mut position: Position, limit: u32) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let notices = meta.notices_after(position, limit).await.unwrap();
        if notices.is_empty() {
            return told;
        }
        for notice in notices {
            position = position.past(&notice);
            told.push(match &notice {
                Notice::Content(event) => event.tag.as_ref().unwrap().to_string(),
                Notice::Execution(event) => event.step.as_str().to_owned(),
            });
        }
    }
}

/// An execution of one task that succeeds.
async fn execution(meta: &Meta) {
    let rule = Uuid::now_v7();
    planned(meta, rule, false, vec![work("x/r")]).await;
    let held = hold(meta, rule).await.unwrap();
    assert!(end(meta, &held, DONE).await);
}

const EXECUTION: [&str; 2] = ["execution_started", "execution_succeeded"];

async fn what_executions_come_to_stands_between_the_events_of_its_time(database: Database) {
    let meta = &database.meta;
    execution(meta).await;
    push(meta, "a").await;
    push(meta, "b").await;
    execution(meta).await;
    push(meta, "c").await;
    let [started, succeeded] = EXECUTION;
    let expected = [started, succeeded, "a", "b", started, succeeded, "c"];
    assert_eq!(told(meta, Position::default(), 100).await, expected);
    let newest = meta.newest_notice().await.unwrap();
    assert!(told(meta, newest, 100).await.is_empty());
    assert_eq!(newest.to_string().parse(), Ok(newest));
    for text in ["", "1", "1.", "a.b", "1.2.3"] {
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
}

async fn a_page_that_is_cut_leaves_nothing_out_and_keeps_the_order(database: Database) {
    let meta = &database.meta;
    for content in ["a", "b", "c", "d"] {
        push(meta, content).await;
        execution(meta).await;
    }
    let whole = told(meta, Position::default(), 100).await;
    assert_eq!(whole.len(), 12);
    for limit in 1..6 {
        assert_eq!(told(meta, Position::default(), limit).await, whole);
    }
}

async fn set(meta: &Meta, names: &[&str]) {
    let names: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
    meta.webhooks_set(names).await.unwrap();
}

async fn take(meta: &Meta, name: &str) -> Option<HeldWebhook> {
    let holder = Uuid::now_v7();
    meta.webhook_hold(name, holder, MINUTE).await.unwrap()
}

async fn a_webhook_begins_with_what_happens_next_and_goes_on_where_it_was(database: Database) {
    let meta = &database.meta;
    push(meta, "before").await;
    set(meta, &["ci", "other"]).await;
    assert!(meta.webhooks_due().await.unwrap().is_empty());
    push(meta, "after").await;
    assert_eq!(meta.webhooks_due().await.unwrap(), ["ci", "other"]);
    // As at the next start.
    set(meta, &["ci"]).await;
    assert_eq!(meta.webhooks_due().await.unwrap(), ["ci"]);
    let held = take(meta, "ci").await.unwrap();
    assert_eq!(told(meta, held.passed, 100).await, ["after"]);
    assert!(take(meta, "other").await.is_none());
}

async fn a_webhook_is_sent_for_by_one_at_a_time(database: Database) {
    let meta = &database.meta;
    set(meta, &["ci"]).await;
    execution(meta).await;
    let first = take(meta, "ci").await.unwrap();
    assert!(take(meta, "ci").await.is_none());
    assert!(meta.webhooks_due().await.unwrap().is_empty());
    // The first is gone, as after kill -9.
    meta.webhooks_left().await.unwrap();
    let second = take(meta, "ci").await.unwrap();
    let keep = async |held: &HeldWebhook, next| meta.webhook_keep(held.clone(), next).await;
    let hold = WebhookNext::Hold(MINUTE);
    assert!(!keep(&first, hold).await.unwrap());
    assert!(keep(&second, hold).await.unwrap());
}

async fn a_webhook_that_rests_is_not_due(database: Database) {
    let meta = &database.meta;
    set(meta, &["ci"]).await;
    push(meta, "a").await;
    let mut held = take(meta, "ci").await.unwrap();
    held.attempts = 3;
    let rest = WebhookNext::Rest(MINUTE);
    assert!(meta.webhook_keep(held, rest).await.unwrap());
    assert!(meta.webhooks_due().await.unwrap().is_empty());
    assert!(take(meta, "ci").await.is_none());
}

async fn what_a_webhook_has_not_passed_is_not_forgotten(database: Database) {
    let meta = &database.meta;
    set(meta, &["ci"]).await;
    push(meta, "a").await;
    execution(meta).await;
    let later = SystemTime::now() + Duration::from_secs(1);
    assert_eq!(meta.events_expire(later).await.unwrap(), 0);
    assert_eq!(meta.notices_expire(later).await.unwrap(), 0);
    let mut held = take(meta, "ci").await.unwrap();
    held.passed = meta.newest_notice().await.unwrap();
    let rest = WebhookNext::Rest(Duration::ZERO);
    assert!(meta.webhook_keep(held, rest).await.unwrap());
    assert_eq!(meta.events_expire(later).await.unwrap(), 1);
    assert_eq!(meta.notices_expire(later).await.unwrap(), 2);
}
