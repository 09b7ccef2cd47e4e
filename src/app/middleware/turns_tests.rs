use std::net::IpAddr;

use tokio::{task::JoinHandle, time::Instant};

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn turns() -> Turns {
    Turns::new(Limits {
        running: 4,
        running_of_client: 3,
        waiting: 6,
        waiting_of_client: 4,
        patience: PATIENCE,
    })
}

fn client(n: u8) -> Source {
    Source::of(IpAddr::from([192, 0, 2, n]))
}

type Asked = JoinHandle<Result<Turn, NoTurn>>;

/// Asks for a turn, and sees to it that the question is in the queue.
async fn ask(turns: &Turns, n: u8) -> Asked {
    let turns = turns.clone();
    let asked = tokio::spawn(async move { turns.take(client(n)).await });
    tokio::task::yield_now().await;
    asked
}

async fn ask_often(turns: &Turns, n: u8, times: usize) -> Vec<Asked> {
    let mut asked = Vec::new();
    for _ in 0..times {
        asked.push(ask(turns, n).await);
    }
    asked
}

fn idle(turns: &Turns) -> bool {
    let state = turns.lock();
    state.running == 0 && state.waiting == 0 && state.clients.is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_client_leaves_a_place_for_the_next() {
    let turns = turns();
    let flood = ask_often(&turns, 1, 7).await;
    let began = Instant::now();
    drop(turns.take(client(2)).await.expect("a place at once"));
    assert_eq!(began.elapsed(), Duration::ZERO);
    let refused = turns.take(client(1)).await.err();
    assert_eq!(refused, Some(NoTurn::TooMany), "its queue is full");
    let mut refused = 0;
    let mut running = Vec::new();
    for asked in flood {
        match asked.await.unwrap() {
            Ok(turn) => running.push(turn),
            Err(why) => {
                assert_eq!(why, NoTurn::TooMany);
                refused += 1;
            }
        }
    }
    assert_eq!((running.len(), refused), (3, 4));
    assert!(began.elapsed() >= PATIENCE);
    drop(running);
    assert!(idle(&turns));
}

#[tokio::test(start_paused = true)]
async fn clients_that_wait_take_turns() {
    let turns = turns();
    let mut running = vec![
        turns.take(client(1)).await.unwrap(),
        turns.take(client(1)).await.unwrap(),
        turns.take(client(9)).await.unwrap(),
        turns.take(client(9)).await.unwrap(),
    ];
    let mut waiting: Vec<(u8, Asked)> = Vec::new();
    for n in [1, 1, 1, 2, 3] {
        waiting.push((n, ask(&turns, n).await));
    }
    let mut order = Vec::new();
    while !waiting.is_empty() {
        drop(running.remove(0));
        tokio::task::yield_now().await;
        let next = waiting.iter().position(|(_, asked)| asked.is_finished());
        let (n, asked) = waiting.remove(next.expect("a free place is given on"));
        running.push(asked.await.unwrap().unwrap());
        order.push(n);
    }
    assert_eq!(order, [1, 2, 3, 1, 1]);
    drop(running);
    assert!(idle(&turns));
}

#[tokio::test(start_paused = true)]
async fn when_all_together_are_too_many_nobody_is_blamed() {
    let turns = turns();
    let running = [
        turns.take(client(1)).await.unwrap(),
        turns.take(client(2)).await.unwrap(),
        turns.take(client(3)).await.unwrap(),
        turns.take(client(4)).await.unwrap(),
    ];
    let waiting = ask_often(&turns, 5, 3).await;
    let more = ask_often(&turns, 6, 3).await;
    assert_eq!(turns.take(client(7)).await.err(), Some(NoTurn::Busy));
    for asked in waiting.into_iter().chain(more) {
        assert_eq!(asked.await.unwrap().err(), Some(NoTurn::Busy));
    }
    drop(running);
    assert!(idle(&turns));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_takes_no_turn_with_it() {
    let turns = turns();
    let running = [
        turns.take(client(1)).await.unwrap(),
        turns.take(client(1)).await.unwrap(),
        turns.take(client(1)).await.unwrap(),
    ];
    let waiting = ask_often(&turns, 1, 3).await;
    waiting[1].abort();
    tokio::task::yield_now().await;
    assert_eq!(turns.lock().waiting, 2);
    // The grant is on its way when its receiver leaves.
    drop(running);
    for asked in &waiting {
        asked.abort();
    }
    for asked in waiting {
        let _ = asked.await;
    }
    assert!(idle(&turns));
    assert!(turns.take(client(1)).await.is_ok());
}
