//! Tasks: who works on them, what they take in, their logs.

use uuid::Uuid;

use super::{
    rule::{DONE, TIME, end, execution, hold, item, planned, work, write},
    *,
};

on_both! {
    a_task_that_nobody_holds_any_more_is_taken_by_another,
    one_repository_at_a_remote_is_worked_on_by_one_at_a_time,
    a_waiting_task_takes_in_what_is_new,
    a_log_keeps_its_newest_lines,
    tasks_are_counted_by_their_states,
}

async fn a_task_that_nobody_holds_any_more_is_taken_by_another(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    planned(meta, rule, false, vec![work("x/r")]).await;
    let first = hold(meta, rule).await.unwrap();
    assert!(hold(meta, rule).await.is_none());
    let (id, bytes) = (first.task.id, TaskBytes::default());
    let kept = meta
        .task_keep(id, first.token, bytes, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(kept, Some(TaskStatus::Running));
    let second = hold(meta, rule).await.unwrap();
    assert_eq!((second.task.id, second.task.attempts), (id, 2));
    assert_eq!(
        meta.task_keep(id, first.token, bytes, TIME).await.unwrap(),
        None
    );
    assert!(!end(meta, &first, DONE).await);
    assert!(end(meta, &second, DONE).await);
}

async fn one_repository_at_a_remote_is_worked_on_by_one_at_a_time(database: Database) {
    let meta = &database.meta;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    planned(meta, one, false, vec![work("x/r")]).await;
    planned(meta, two, false, vec![work("x/r"), work("x/other")]).await;
    let first = hold(meta, one).await.unwrap();
    let other = hold(meta, two).await.unwrap();
    assert_eq!(other.task.destination, name("x/other"));
    assert!(hold(meta, two).await.is_none());
    assert!(end(meta, &first, DONE).await);
    assert!(hold(meta, two).await.is_some());
}

async fn a_waiting_task_takes_in_what_is_new(database: Database) {
    let meta = &database.meta;
    let rule = write("r", true);
    let id = rule.id;
    assert!(meta.rule_insert(rule).await.unwrap());
    let plan = async |items: Vec<TaskItem>, passed| {
        let tasks = vec![TaskWrite {
            items,
            ..work("x/r")
        }];
        let execution = execution(id, false);
        let plan = EventPlan {
            execution,
            tasks,
            passed,
        };
        meta.events_planned(plan).await.unwrap()
    };
    assert!(plan(vec![item("a", "one"), item("b", "one")], (0, 1)).await);
    assert!(!plan(vec![item("a", "late")], (0, 1)).await);
    assert!(plan(vec![item("a", "two"), item("c", "two")], (1, 2)).await);
    assert_eq!(meta.execution_count(Some(id)).await.unwrap(), 1);
    let held = hold(meta, id).await.unwrap();
    assert_eq!(
        held.task.items,
        [item("b", "one"), item("a", "two"), item("c", "two")]
    );
    // It has begun: what comes now is another execution's.
    assert!(plan(vec![item("d", "two")], (2, 3)).await);
    assert_eq!(meta.execution_count(Some(id)).await.unwrap(), 2);
    assert_eq!(meta.rule("r").await.unwrap().unwrap().passed_event, Some(3));
}

async fn a_log_keeps_its_newest_lines(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    planned(meta, rule, false, vec![work("x/r")]).await;
    let id = hold(meta, rule).await.unwrap().task.id;
    let lines = (0..600).map(|number| format!("line {number}"));
    let lines: Vec<_> = lines.collect();
    for _ in 0..2 {
        meta.task_log_put(id, lines.clone()).await.unwrap();
    }
    let log = meta.task_log(id).await.unwrap();
    assert_eq!(
        (log.len(), log[0].1.as_str(), log[999].1.as_str()),
        (1000, "line 200", "line 599")
    );
}

async fn tasks_are_counted_by_their_states(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    planned(
        meta,
        rule,
        false,
        vec![work("x/a"), work("x/b"), work("x/c")],
    )
    .await;
    let ended = hold(meta, rule).await.unwrap();
    assert!(end(meta, &ended, DONE).await);
    hold(meta, rule).await.unwrap();
    let states = meta.task_states().await.unwrap();
    assert_eq!(states.len(), TaskStatus::ALL.len());
    let of = |status| states.iter().find(|(one, _)| *one == status).unwrap().1;
    for (status, count) in [
        (TaskStatus::Pending, 1),
        (TaskStatus::Running, 1),
        (TaskStatus::Succeeded, 1),
        (TaskStatus::Failed, 0),
    ] {
        assert_eq!(of(status), count, "{status:?}");
    }
}
