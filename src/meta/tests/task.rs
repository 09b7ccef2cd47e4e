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
    what_is_to_stop_is_not_tried_again,
    a_plan_that_nobody_applied_keeps_no_delete_waiting,
    a_plan_that_nobody_applied_is_not_retried,
    what_is_to_begin_or_to_begin_again_is_ahead,
    a_time_comes_once_and_brings_its_execution,
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

async fn what_is_to_stop_is_not_tried_again(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let id = planned(meta, rule, false, vec![work("x/r")]).await;
    let held = hold(meta, rule).await.unwrap();
    assert!(meta.execution_stop(id).await.unwrap());
    let again = TaskEnd::Retry {
        at: SystemTime::now(),
        error: "the server was stopped".to_owned(),
    };
    assert!(end(meta, &held, again).await);
    let task = meta.task(held.task.id).await.unwrap().unwrap();
    assert_eq!((task.status, task.due_at), (TaskStatus::Stopped, None));
    let execution = meta.execution(id).await.unwrap().unwrap();
    assert_eq!(execution.status, ExecutionStatus::Stopped);
    assert!(hold(meta, rule).await.is_none());
}

async fn a_plan_that_nobody_applied_keeps_no_delete_waiting(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let plan = planned(meta, rule, true, vec![work("x/r")]).await;
    planned(meta, rule, false, vec![work("x/r")]).await;
    let held = hold(meta, rule).await.unwrap();
    let behind = async || meta.task_is_behind(&held.task, rule).await.unwrap();
    assert!(!behind().await);
    assert!(meta.execution_apply(plan).await.unwrap());
    assert!(behind().await);
}

async fn a_plan_that_nobody_applied_is_not_retried(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let plan = planned(meta, rule, true, vec![work("x/r")]).await;
    assert!(meta.execution_stop(plan).await.unwrap());
    assert_eq!(meta.execution_retry(plan).await.unwrap(), 0);
    // One that was applied is, whether it had begun or not.
    let works = vec![work("x/a"), work("x/b")];
    let plan = planned(meta, rule, true, works).await;
    assert!(meta.execution_apply(plan).await.unwrap());
    let held = hold(meta, rule).await.unwrap();
    assert!(meta.execution_stop(plan).await.unwrap());
    assert!(end(meta, &held, TaskEnd::Stopped).await);
    assert_eq!(meta.execution_retry(plan).await.unwrap(), 2);
}

async fn what_is_to_begin_or_to_begin_again_is_ahead(database: Database) {
    let meta = &database.meta;
    let rule = Uuid::now_v7();
    let plan = planned(meta, rule, true, vec![work("x/planned")]).await;
    assert!(meta.execution_apply(plan).await.unwrap());
    let works = ["x/a", "x/b", "x/c"].map(work);
    planned(meta, rule, false, works.to_vec()).await;
    let members = r#"{"name":"r"}"#;
    let ahead = async |members: &str| {
        let mut places = Vec::new();
        let mut last: Option<TaskAhead> = None;
        loop {
            let page = meta
                .tasks_ahead(rule, "edge", members, last.as_ref(), 1)
                .await;
            last = page.unwrap().pop();
            match &last {
                Some(task) => places.push(task.destination.to_string()),
                None => break,
            }
        }
        places.sort();
        places
    };
    assert_eq!(ahead(members).await, ["x/a", "x/b", "x/c"]);
    // The rule was changed.
    assert!(ahead("{}").await.is_empty());
    let mut held = meta.task_hold("edge", rule, 3, TIME).await.unwrap();
    held.retain(|held| held.task.destination != name("x/planned"));
    assert_eq!(held.len(), 2);
    let begun: Vec<_> = held
        .iter()
        .map(|held| held.task.destination.to_string())
        .collect();
    let waits = ahead(members).await;
    assert!(waits.len() == 1 && !begun.contains(&waits[0]), "{waits:?}");
    let again = TaskEnd::Retry {
        at: SystemTime::now() + TIME,
        error: "away".to_owned(),
    };
    assert!(end(meta, &held[0], again).await);
    assert!(end(meta, &held[1], DONE).await);
    let mut expected = vec![begun[0].clone(), waits[0].clone()];
    expected.sort();
    assert_eq!(ahead(members).await, expected);
}

async fn a_time_comes_once_and_brings_its_execution(database: Database) {
    let meta = &database.meta;
    let at = SystemTime::now() - TIME;
    let rule = RuleWrite {
        due_at: Some(at),
        ..write("r", false)
    };
    let id = rule.id;
    assert!(meta.rule_insert(rule).await.unwrap());
    let due_at = async || meta.rule("r").await.unwrap().unwrap().due_at.unwrap();
    let next = SystemTime::now() + TIME;
    let fire = async |at| {
        let due = RuleDue {
            at,
            next: Some(next),
            execution: execution(id, false),
        };
        meta.rule_fire(due).await.unwrap()
    };
    // A plan that waits, and one that is only tried, are in nobody's way.
    planned(meta, id, true, vec![work("x/r")]).await;
    meta.execution_put(execution(id, true)).await.unwrap();
    let read = due_at().await;
    assert_eq!(fire(read).await, RuleFired::Begun);
    assert_eq!(meta.execution_count(Some(id)).await.unwrap(), 3);
    assert_eq!(fire(read).await, RuleFired::Passed);
    let read = due_at().await;
    assert!(read > SystemTime::now());
    assert_eq!(fire(read).await, RuleFired::BeingPlanned);
    assert_eq!(meta.execution_count(Some(id)).await.unwrap(), 3);
}
