//! How far the executions are that run now, for those who listen to events. It is looked up while somebody listens, for all of
//! them together and at most once a second; what nobody took is replaced by what is true then.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;

use super::Parts;
use crate::{
    meta::{ExecutionRow, MetaError, TaskBytes, TaskCounts, TaskStatus},
    notify,
    replication::Rule,
};

/// The word of the event.
pub(super) const KIND: &str = "execution_progress";
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looking takes this part of the time at most.
const REST: u32 = 20;
/// Of more executions the newest are told of.
const MAX_EXECUTIONS: u32 = 100;

/// What was seen last, for all who listen.
#[derive(Default)]
pub(super) struct Progressing(Mutex<Look>);

#[derive(Default)]
struct Look {
    number: u64,
    next: Option<Instant>,
    seen: Arc<[Running]>,
}

/// An execution that runs, and how far it is.
pub(super) struct Running {
    pub(super) id: Uuid,
    /// As the execution has it; `None`: it cannot be read.
    pub(super) rule: Option<Rule>,
    pub(super) data: Value,
    pub(super) at: SystemTime,
    stand: Stand,
}

/// What changes while it runs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stand {
    bytes: TaskBytes,
    ended: u64,
    running: u64,
}

/// What one listener was told.
#[derive(Default)]
pub(super) struct Told {
    number: u64,
    stands: HashMap<Uuid, Stand>,
}

impl Progressing {
    /// The executions that are further than this listener knows. Each is told of in one look once at most.
    pub(super) async fn news(&self, parts: &Parts, told: &mut Told) -> Result<News, MetaError> {
        self.news_by(running(parts), told).await
    }

    /// `look`: what is looked up, if it is time for that.
    async fn news_by(
        &self,
        look: impl Future<Output = Result<Arc<[Running]>, MetaError>>,
        told: &mut Told,
    ) -> Result<News, MetaError> {
        let mut last = self.0.lock().await;
        let began = Instant::now();
        if last.next.is_none_or(|next| next <= began) {
            last.seen = look.await?;
            last.number += 1;
            let pause = LOOK_EVERY.max(began.elapsed() * REST);
            last.next = Some(began + pause);
        }
        let (number, seen) = (last.number, Arc::clone(&last.seen));
        drop(last);
        Ok(if told.number == number {
            News::default()
        } else {
            told.number = number;
            News::of(seen, told)
        })
    }
}

/// Executions that there is something new of.
#[derive(Default)]
pub(super) struct News {
    seen: Arc<[Running]>,
    places: Vec<usize>,
}

impl News {
    fn of(seen: Arc<[Running]>, told: &mut Told) -> Self {
        let is_new = |one: &Running| told.stands.get(&one.id) != Some(&one.stand);
        let places = seen.iter().enumerate();
        let places = places
            .filter(|(_, one)| is_new(one))
            .map(|(place, _)| place);
        let places = places.collect();
        told.stands = seen.iter().map(|one| (one.id, one.stand)).collect();
        Self { seen, places }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Running> {
        self.places.iter().map(|place| &self.seen[*place])
    }
}

async fn running(parts: &Parts) -> Result<Arc<[Running]>, MetaError> {
    let meta = &parts.meta;
    let mut all = Vec::new();
    for id in meta.executions_running(MAX_EXECUTIONS).await? {
        let Some(row) = meta.execution(id).await? else {
            continue;
        };
        let counts = meta.task_counts(id).await?;
        let rule = parts.replication.rule_of(&row);
        all.push(Running::new(&row, rule, &counts));
    }
    Ok(all.into())
}

impl Running {
    fn new(row: &ExecutionRow, rule: Option<Rule>, counts: &TaskCounts) -> Self {
        use TaskStatus::{Failed, Pending, Retrying, Running, Stopped, Stopping, Succeeded};
        let running = counts.of(Running) + counts.of(Stopping);
        let ended = counts.of(Succeeded) + counts.of(Failed) + counts.of(Stopped);
        let mut data = notify::of_execution(row, counts);
        data["tasks"]["pending"] = json!(counts.of(Pending));
        data["tasks"]["running"] = json!(running);
        data["tasks"]["retrying"] = json!(counts.of(Retrying));
        data["bytes_total"] = json!(counts.bytes.total);
        data["bytes_skipped"] = json!(counts.bytes.skipped);
        Self {
            id: row.id,
            rule,
            data,
            at: SystemTime::now(),
            stand: Stand {
                bytes: counts.bytes,
                ended,
                running,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(id: u128, sent: u64) -> Running {
        Running {
            id: Uuid::from_u128(id),
            rule: None,
            data: Value::Null,
            at: SystemTime::UNIX_EPOCH,
            stand: Stand {
                bytes: TaskBytes {
                    sent,
                    ..TaskBytes::default()
                },
                ended: 0,
                running: 1,
            },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_happens_each_is_told_of_once_a_second_at_most() {
        let (progressing, began) = (Progressing::default(), Instant::now());
        let (mut told, mut late) = (Told::default(), Told::default());
        let mut times = Vec::new();
        let mut sent = 0;
        while began.elapsed() < Duration::from_secs(10) {
            sent += 1;
            let look = async { Ok([running(1, sent)].into()) };
            let news = progressing.news_by(look, &mut told).await.unwrap();
            if news.iter().count() > 0 {
                times.push(began.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        assert_eq!(times.len(), 10, "{times:?}");
        let apart = |pair: &[Duration]| pair[1].saturating_sub(pair[0]) >= Duration::from_secs(1);
        assert!(times.windows(2).all(apart), "{times:?}");
        // Who took nothing meanwhile is told what is true now, once.
        let look = async { Ok([running(1, sent)].into()) };
        let news = progressing.news_by(look, &mut late).await.unwrap();
        assert_eq!(news.iter().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn looking_takes_a_small_part_of_the_time() {
        let (progressing, mut told) = (Progressing::default(), Told::default());
        let began = Instant::now();
        let mut looks = 0;
        while began.elapsed() < Duration::from_secs(50) {
            let look = async {
                looks += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
                Ok([].into())
            };
            progressing.news_by(look, &mut told).await.unwrap();
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        assert!(looks <= 5, "{looks}");
    }

    #[test]
    fn only_what_is_further_is_told_and_what_ended_is_forgotten() {
        let mut told = Told::default();
        let mut news = |seen: Vec<Running>| {
            let news = News::of(seen.into(), &mut told);
            let ids: Vec<_> = news.iter().map(|one| one.id.as_u128()).collect();
            (ids, told.stands.len())
        };
        assert_eq!(news(vec![running(1, 0), running(2, 0)]), (vec![1, 2], 2));
        assert_eq!(news(vec![running(1, 0), running(2, 5)]), (vec![2], 2));
        assert_eq!(news(vec![running(2, 5)]), (vec![], 1));
        assert_eq!(news(vec![running(1, 0)]), (vec![1], 1));
    }
}
