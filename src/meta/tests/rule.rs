//! Rules and their executions.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;

on_both! {
    a_rule_sees_events_from_when_it_begins_to,
    a_name_is_taken_once,
    an_execution_is_planned_by_one_at_a_time,
    a_dry_run_waits_until_it_is_applied,
    an_execution_ends_with_its_last_task,
    what_is_stopped_stops_and_can_be_retried,
    old_executions_go_with_their_tasks_and_logs,
    only_the_newest_executions_of_a_rule_are_kept,
    tasks_are_taken_several_at_once_and_each_by_one,
    what_was_put_somewhere_is_known,
}

pub(super) const TIME: Duration = Duration::from_secs(30);

pub(super) fn write(name: &str, sees_events: bool) -> RuleWrite {
    RuleWrite {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        members: "{}".to_owned(),
        enabled: true,
        owner: "admin".to_owned(),
        due_at: None,
        sees_events,
    }
}

pub(super) fn execution(rule: Uuid, dry_run: bool) -> ExecutionWrite {
    ExecutionWrite {
        id: Uuid::now_v7(),
        rule_id: rule,
        members: r#"{"name":"r"}"#.to_owned(),
        cause: "manual".to_owned(),
        dry_run,
        message: String::new(),
    }
}

pub(super) fn item(text: &str, content: &str) -> TaskItem {
    TaskItem {
        tag: tag(text),
        digest: digest(content),
        action: Action::Copy,
        bytes: Some(10),
        message: None,
    }
}

pub(super) fn work(destination: &str) -> TaskWrite {
    TaskWrite {
        remote: "edge".to_owned(),
        repository: name("p/r"),
        destination: name(destination),
        items: vec![item("a", "one")],
        delay: Duration::ZERO,
    }
}

pub(super) async fn planned(meta: &Meta, rule: Uuid, dry_run: bool, tasks: Vec<TaskWrite>) -> Uuid {
    let execution = execution(rule, dry_run);
    let (id, holder) = (execution.id, Uuid::now_v7());
    meta.execution_put(execution).await.unwrap();
    let held = meta.execution_hold(holder, TIME).await.unwrap().unwrap();
    assert_eq!((held.id, held.rule_id), (id, rule));
    let message = String::new();
    let planned = Planned::Tasks { tasks, message };
    assert!(meta.execution_plan(id, holder, planned).await.unwrap());
    id
}

async fn status(meta: &Meta, id: Uuid) -> ExecutionStatus {
    meta.execution(id).await.unwrap().unwrap().status
}

pub(super) async fn hold(meta: &Meta, rule: Uuid) -> Option<HeldTask> {
    let held = meta.task_hold("edge", rule, 1, TIME).await;
    held.unwrap().pop()
}

pub(super) async fn end(meta: &Meta, held: &HeldTask, end: TaskEnd) -> bool {
    let bytes = TaskBytes {
        total: 10,
        sent: 4,
        skipped: 6,
    };
    let lines = vec!["the end".to_owned()];
    meta.task_end(held.task.id, held.token, bytes, end, lines)
        .await
        .unwrap()
}

pub(super) const DONE: TaskEnd = TaskEnd::Succeeded { message: None };

async fn a_rule_sees_events_from_when_it_begins_to(database: Database) {
    let meta = &database.meta;
    let mut rule = write("r", false);
    assert!(meta.rule_insert(rule.clone()).await.unwrap());
    let passed = async || meta.rule("r").await.unwrap().unwrap().passed_event;
    assert_eq!(passed().await, None);
    let repository = name("p/r");
    meta.tag_put(&repository, &tag("a"), row("one", 1))
        .await
        .unwrap();
    meta.manifest_commit(commit("p/r", "one")).await.unwrap();
    let newest = meta.events_after(0, 10).await.unwrap().last().unwrap().id;
    rule.sees_events = true;
    assert!(meta.rule_replace(rule.clone()).await.unwrap());
    assert_eq!(passed().await, Some(newest));
    meta.manifest_commit(commit("p/r", "two")).await.unwrap();
    assert!(meta.rule_replace(rule).await.unwrap());
    assert_eq!(passed().await, Some(newest));
}

async fn a_name_is_taken_once(database: Database) {
    let meta = &database.meta;
    let (one, mut two) = (write("one", false), write("two", false));
    assert!(meta.rule_insert(one.clone()).await.unwrap());
    assert!(
        !meta
            .rule_insert(RuleWrite {
                id: Uuid::now_v7(),
                ..one.clone()
            })
            .await
            .unwrap()
    );
    assert!(meta.rule_insert(two.clone()).await.unwrap());
    two.name = "one".to_owned();
    assert!(!meta.rule_replace(two.clone()).await.unwrap());
    two.name = "three".to_owned();
    assert!(meta.rule_replace(two).await.unwrap());
    let names: Vec<_> = meta
        .rules()
        .await
        .unwrap()
        .into_iter()
        .map(|rule| rule.name)
        .collect();
    assert_eq!(names, ["one", "three"]);
    assert!(!meta.rule_replace(write("four", false)).await.unwrap());
}

async fn an_execution_is_planned_by_one_at_a_time(database: Database) {
    let meta = &database.meta;
    let execution = execution(Uuid::now_v7(), false);
    let id = execution.id;
    meta.execution_put(execution).await.unwrap();
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    assert!(meta.execution_hold(one, TIME).await.unwrap().is_some());
    assert!(meta.execution_hold(two, TIME).await.unwrap().is_none());
    let keep = |holder, time| meta.execution_keep(id, holder, time, "so far".to_owned());
    assert!(keep(one, Duration::ZERO).await.unwrap());
    let row = meta.execution(id).await.unwrap().unwrap();
    assert_eq!(row.message, "so far");
    assert!(meta.execution_hold(two, TIME).await.unwrap().is_some());
    assert!(!keep(one, TIME).await.unwrap());
    let failed = || Planned::Failed("why".to_owned());
    assert!(!meta.execution_plan(id, one, failed()).await.unwrap());
    assert!(meta.execution_plan(id, two, failed()).await.unwrap());
    let row = meta.execution(id).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.message.as_str()),
        (ExecutionStatus::Failed, "why")
    );
    assert!(row.started_at.is_some() && row.ended_at.is_some());
}

async fn a_dry_run_waits_until_it_is_applied(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let id = planned(meta, rule, true, vec![work("x/r")]).await;
    assert_eq!(status(meta, id).await, ExecutionStatus::Planned);
    assert_eq!(meta.task_due("edge", rule).await.unwrap(), None);
    assert!(hold(meta, rule).await.is_none());
    assert!(meta.execution_apply(id).await.unwrap());
    assert!(!meta.execution_apply(id).await.unwrap());
    let held = hold(meta, rule).await.unwrap();
    assert_eq!(held.task.items, [item("a", "one")]);
    assert!(end(meta, &held, DONE).await);
    assert_eq!(status(meta, id).await, ExecutionStatus::Succeeded);
}

async fn an_execution_ends_with_its_last_task(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let none = planned(meta, rule, false, Vec::new()).await;
    assert_eq!(status(meta, none).await, ExecutionStatus::Succeeded);
    let id = planned(meta, rule, false, vec![work("x/a"), work("x/b")]).await;
    assert_eq!(
        meta.task_queues().await.unwrap(),
        [("edge".to_owned(), rule)]
    );
    let (one, two) = (
        hold(meta, rule).await.unwrap(),
        hold(meta, rule).await.unwrap(),
    );
    assert_eq!(
        (one.members.as_str(), one.rule_id),
        (r#"{"name":"r"}"#, rule)
    );
    let error = "no".to_owned();
    let again = TaskEnd::Retry {
        at: SystemTime::now() + TIME,
        error,
    };
    assert!(end(meta, &one, again).await);
    assert!(end(meta, &two, TaskEnd::Failed("never".to_owned())).await);
    assert!(!end(meta, &two, DONE).await);
    assert_eq!(status(meta, id).await, ExecutionStatus::InProgress);
    assert!(hold(meta, rule).await.is_none());
    let counts = meta.task_counts(id).await.unwrap();
    let of = |status| counts.of(status);
    assert_eq!(
        (
            of(TaskStatus::Retrying),
            of(TaskStatus::Failed),
            counts.total()
        ),
        (1, 1, 2)
    );
    assert_eq!(
        counts.bytes,
        TaskBytes {
            total: 20,
            sent: 8,
            skipped: 12
        }
    );
    assert_eq!(counts.repositories, 1);
    let row = meta.task(one.task.id).await.unwrap().unwrap();
    assert_eq!((row.status, row.attempts), (TaskStatus::Retrying, 1));
    assert!(row.due_at.unwrap() > SystemTime::now());
    assert!(meta.execution_stop(id).await.unwrap());
    assert_eq!(status(meta, id).await, ExecutionStatus::Failed);
}

async fn what_is_stopped_stops_and_can_be_retried(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let id = planned(
        meta,
        rule,
        false,
        vec![work("x/a"), work("x/b"), work("x/c")],
    )
    .await;
    let done = hold(meta, rule).await.unwrap();
    assert!(end(meta, &done, DONE).await);
    let running = hold(meta, rule).await.unwrap();
    assert_eq!(meta.executions_open(rule).await.unwrap(), [id]);
    assert!(meta.execution_stop(id).await.unwrap());
    assert_eq!(status(meta, id).await, ExecutionStatus::Stopping);
    let kept = meta
        .task_keep(running.task.id, running.token, TaskBytes::default(), TIME)
        .await;
    assert_eq!(kept.unwrap(), Some(TaskStatus::Stopping));
    assert!(hold(meta, rule).await.is_none());
    assert!(end(meta, &running, TaskEnd::Stopped).await);
    assert_eq!(status(meta, id).await, ExecutionStatus::Stopped);
    assert!(!meta.execution_stop(id).await.unwrap());
    assert!(meta.executions_open(rule).await.unwrap().is_empty());
    assert_eq!(meta.execution_retry(id).await.unwrap(), 2);
    assert_eq!(status(meta, id).await, ExecutionStatus::InProgress);
    for _ in 0..2 {
        let held = hold(meta, rule).await.unwrap();
        assert!(end(meta, &held, DONE).await);
    }
    assert_eq!(status(meta, id).await, ExecutionStatus::Succeeded);
    assert_eq!(meta.execution_retry(id).await.unwrap(), 0);
    let page = meta.executions(Some(rule), None, 10).await.unwrap();
    assert_eq!(
        (page.len(), meta.execution_count(Some(rule)).await.unwrap()),
        (1, 1)
    );
    let tasks = meta.tasks(id, None, 2).await.unwrap();
    let rest = meta.tasks(id, Some(tasks[1].id), 2).await.unwrap();
    assert_eq!((tasks.len(), rest.len()), (2, 1));
}

async fn old_executions_go_with_their_tasks_and_logs(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let id = planned(meta, rule, false, vec![work("x/r")]).await;
    let later = SystemTime::now() + TIME;
    let held = hold(meta, rule).await.unwrap();
    meta.task_log_put(held.task.id, vec!["a line".to_owned()])
        .await
        .unwrap();
    assert_eq!(meta.executions_expire(later).await.unwrap(), 0);
    assert!(end(meta, &held, DONE).await);
    let log = meta.task_log(held.task.id).await.unwrap();
    let lines: Vec<_> = log.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, ["a line", "the end"]);
    assert_eq!(
        meta.executions_expire(later - TIME - TIME).await.unwrap(),
        0
    );
    assert_eq!(meta.executions_expire(later).await.unwrap(), 1);
    assert!(meta.execution(id).await.unwrap().is_none());
    assert!(meta.task(held.task.id).await.unwrap().is_none());
    assert!(meta.task_log(held.task.id).await.unwrap().is_empty());
}

async fn only_the_newest_executions_of_a_rule_are_kept(database: Database) {
    let meta = &database.meta;
    let (rule, other) = (Uuid::now_v7(), Uuid::now_v7());
    let waiting = planned(meta, rule, true, vec![work("x/r")]).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(planned(meta, rule, false, Vec::new()).await);
    }
    let kept = planned(meta, other, false, Vec::new()).await;
    assert_eq!(meta.executions_thin(4).await.unwrap(), 0);
    assert_eq!(meta.executions_thin(1).await.unwrap(), 2);
    assert_eq!(meta.executions_thin(1).await.unwrap(), 0);
    let left = meta.executions(None, None, 10).await.unwrap();
    let left: Vec<_> = left.iter().map(|row| row.id).collect();
    assert_eq!(left, [kept, ids[2], waiting]);
}

async fn tasks_are_taken_several_at_once_and_each_by_one(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let works = ["x/a", "x/b", "x/c", "x/d"].map(work);
    planned(meta, rule, false, works.to_vec()).await;
    let (some, others) = tokio::join!(
        meta.task_hold("edge", rule, 3, TIME),
        meta.task_hold("edge", rule, 3, TIME)
    );
    let (some, others) = (some.unwrap(), others.unwrap());
    assert_eq!(some.len().max(others.len()), 3);
    let held = || some.iter().chain(&others);
    let taken: BTreeSet<_> = held().map(|held| held.task.id).collect();
    assert_eq!((taken.len(), held().count()), (4, 4));
    let is_whole = |held: &HeldTask| held.rule_id == rule && held.members == some[0].members;
    assert!(held().all(is_whole));
}

async fn what_was_put_somewhere_is_known(database: Database) {
    let meta = &database.meta;
    let key = |text: &str| DeliveryKey {
        rule: Uuid::nil(),
        remote: "edge".to_owned(),
        destination: name("x/r"),
        tag: tag(text),
    };
    assert_eq!(meta.delivery(&key("a")).await.unwrap(), None);
    let begun = |over| Claim::Begun {
        digest: digest("two"),
        over,
    };
    for (text, claim) in [
        ("b", Claim::Put(digest("one"))),
        ("a", begun(None)),
        ("a", begun(Some(digest("one")))),
        ("a", Claim::Put(digest("two"))),
    ] {
        let key = key(text);
        let put = meta.delivery_put(&key, &claim, &name("p/r")).await;
        put.unwrap();
        let read = meta.delivery(&key).await.unwrap();
        assert_eq!(read, Some((claim, name("p/r"))));
    }
    let page = meta.deliveries(Uuid::nil(), "edge", None, 1).await.unwrap();
    assert_eq!((page.len(), &page[0].tag), (1, &tag("a")));
    let after = Some((&page[0].destination, &page[0].tag));
    let page = meta
        .deliveries(Uuid::nil(), "edge", after, 9)
        .await
        .unwrap();
    assert_eq!((page.len(), &page[0].tag), (1, &tag("b")));
    meta.delivery_delete(key("b")).await.unwrap();
    assert_eq!(meta.delivery(&key("b")).await.unwrap(), None);
}
