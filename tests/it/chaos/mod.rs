//! Chaos: clients pull while everything around them goes wrong.
//!
//! ```text
//!            ┌──────────────── world, again and again ────────────────┐
//! new world ─► trouble ─► outage ─► trouble ─► outage ─► peace ─► audit
//!              │          │                              │         └ rows and files agree, nothing is left over
//!              │          └ what was pulled still pulls  └ everything pulls, and is kept again
//!              └ the remote breaks (`faults`), the process is killed, the disk fills, files are damaged (`trouble`)
//! ```
//!
//! Always: a completed answer is right to the byte, an error is of the allowed kinds, and nothing takes for ever
//! (`visitor`). `ENTREPOT_CHAOS_SECONDS` makes it longer and `ENTREPOT_CHAOS_SEED` repeats its choices, though not the
//! order in which tasks run. `make soak` runs it for long.

mod audit;
mod faults;
mod tally;
mod trouble;
mod visitor;
mod world;

use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::world::{Room, World};

/// No answer takes longer, whatever happens.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often there is trouble in one world.
const ROUNDS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_answers_are_right_outages_lose_nothing_and_nothing_is_left_over() {
    let length = Duration::from_secs(setting("ENTREPOT_CHAOS_SECONDS").unwrap_or(60));
    let seed = setting("ENTREPOT_CHAOS_SEED").unwrap_or_else(rand::random);
    // Shown when the test fails, or with --nocapture.
    eprintln!("ENTREPOT_CHAOS_SEED={seed}");
    let began = Instant::now();
    for number in 0.. {
        if began.elapsed() >= length {
            break;
        }
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
        // An outage is only judged where nothing is evicted.
        let room = match number % 3 {
            0 | 2 => Room::Plenty,
            _ => Room::tight(&mut random),
        };
        let world = World::new(room, &mut random).await;
        live_through(world, &mut random).await;
    }
}

async fn live_through(world: World, random: &mut StdRng) {
    for _ in 0..ROUNDS {
        world.trouble(random).await;
        if world.plan.room == Room::Plenty {
            world.outage(random).await;
        }
    }
    if random.random_bool(0.5) {
        world.kill().await;
        world.start().await;
    }
    world.peace().await;
    world.audit().await;
    eprintln!("{:?}: {:?}", world.plan, world.tally().counts);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the test, not of the server"
)]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}
