use futures_util::future::join_all;

use super::*;

on_both! {
    entries_from_before_a_time_go_a_bounded_number_at_once,
}

async fn entries_from_before_a_time_go_a_bounded_number_at_once(database: Database) {
    let meta = &database.meta;
    let entry = |seconds| AuditEntry {
        at: at(seconds),
        principal: "ann".to_owned(),
        source: None,
        action: "login".to_owned(),
        subject: String::new(),
        outcome: "done".to_owned(),
        detail: None,
    };
    let written = join_all((1..=1003).map(|seconds| meta.audit(entry(seconds)))).await;
    assert!(written.iter().all(Result::is_ok));
    let mut gone = Vec::new();
    for _ in 0..3 {
        gone.push(meta.audit_expire(at(1002)).await.unwrap());
    }
    assert_eq!(gone, [1000, 1, 0]);
    let mut left: Vec<_> = meta.audits(None, 10).await.unwrap();
    left.sort_by_key(|row| row.entry.at);
    let left: Vec<_> = left.into_iter().map(|row| row.entry.at).collect();
    assert_eq!(left, [at(1002), at(1003)]);
}
