//! Deletes that rules pass on without asking, and those that wait.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    rule::{execution, hold, work},
    *,
};

on_both! {
    each_tag_counts_once_and_only_for_a_while,
    tags_that_are_deleted_are_still_a_rules_for_a_while,
    deletes_wait_in_one_plan_that_is_no_other_dry_run,
}

fn deletes(rule: Uuid, tags: &[&str], until: SystemTime) -> UnaskedDeletes {
    let named = |text: &&str| (name("p/r"), tag(text));
    UnaskedDeletes {
        rule,
        tags: tags.iter().map(named).collect::<BTreeSet<_>>(),
        until,
        cap: 3,
    }
}

async fn each_tag_counts_once_and_only_for_a_while(database: Database) {
    let meta = &database.meta;
    let (rule, other) = (Uuid::now_v7(), Uuid::now_v7());
    let now = SystemTime::now();
    let later = now + Duration::from_secs(60);
    let count = async |rule, tags: &[&str], until| {
        let counted = meta.deletes_count(deletes(rule, tags, until)).await;
        counted.unwrap()
    };
    assert!(count(rule, &["a", "b"], later).await);
    assert!(!count(rule, &["c", "d"], later).await);
    assert!(count(rule, &["b", "c"], later).await);
    assert!(!count(rule, &["d"], later).await);
    assert!(count(rule, &["a", "b", "c"], later).await);
    assert!(count(other, &["d"], later).await);
    // Their time is over.
    assert!(count(rule, &["a", "b"], now).await);
    assert!(count(rule, &["d", "e"], later).await);
    assert!(!count(rule, &["f"], later).await);
    assert!(
        meta.rule_insert(super::rule::write("r", false))
            .await
            .unwrap()
    );
    let id = meta.rule("r").await.unwrap().unwrap().id;
    assert!(count(id, &["a", "b", "c"], later).await);
    assert!(meta.rule_delete(id).await.unwrap());
    assert!(count(id, &["d"], later).await);
}

async fn tags_that_are_deleted_are_still_a_rules_for_a_while(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let remotes = ["edge".to_owned(), "far".to_owned()];
    let key = |remote: &str, text: &str| DeliveryKey {
        rule,
        remote: remote.to_owned(),
        destination: name("x/r"),
        tag: tag(text),
    };
    let claim = Claim::Put(digest("one"));
    for (remote, text) in [("edge", "a"), ("edge", "b"), ("far", "a")] {
        let key = key(remote, text);
        meta.delivery_put(&key, &claim, &name("p/r")).await.unwrap();
    }
    let known = async || meta.tags_of_rule(rule, &remotes).await.unwrap();
    assert_eq!(known().await, 2);
    let until = SystemTime::now() + Duration::from_secs(60);
    assert!(
        meta.deletes_count(deletes(rule, &["a"], until))
            .await
            .unwrap()
    );
    assert_eq!(known().await, 2);
    for remote in &remotes {
        meta.delivery_delete(key(remote, "a")).await.unwrap();
    }
    assert_eq!(known().await, 2);
    meta.delivery_delete(key("edge", "b")).await.unwrap();
    assert_eq!(known().await, 1);
}

async fn deletes_wait_in_one_plan_that_is_no_other_dry_run(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let dry = super::rule::planned(meta, rule, true, vec![work("x/dry")]).await;
    let wait = async |members: &str, destination: &str| {
        let plan = ExecutionWrite {
            cause: "event".to_owned(),
            members: members.to_owned(),
            message: "apply it".to_owned(),
            ..execution(rule, true)
        };
        let waits = meta.deletes_wait(plan, vec![work(destination)]).await;
        waits.unwrap()
    };
    let first = wait("{}", "x/a").await;
    assert_ne!(first, dry);
    assert_eq!(wait("{}", "x/b").await, first);
    assert_ne!(wait("{\"changed\":1}", "x/c").await, first);
    let row = meta.execution(first).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.dry_run, row.message.as_str()),
        (ExecutionStatus::Planned, true, "apply it")
    );
    assert!(hold(meta, rule).await.is_none());
    assert!(meta.execution_apply(first).await.unwrap());
    let mut begun = BTreeSet::new();
    while let Some(held) = hold(meta, rule).await {
        begun.insert(held.task.destination.to_string());
    }
    assert_eq!(Vec::from_iter(begun), ["x/a", "x/b"]);
    assert_ne!(wait("{}", "x/d").await, first);
}
