//! Fifty clients push, and the process is killed, or its machine loses power. Again and again.
//!
//! ```text
//! start ─► fifty push (`pushing`) ─► the end, at any moment ─► start ─► all that was acknowledged is there (`ledger`),
//!   ▲                                                                   what a tag leads to is complete, sessions go on
//!   └──────────────────────────────────────────────────────────────────┘      └─► at last: nothing is left over (`rest`)
//! ```
//!
//! `ENTREPOT_CRASHES` makes more of it (`make soak` does), `ENTREPOT_CRASH_SEED` repeats the choices, though not the order
//! in which tasks run. How a power loss is simulated: `device`, docs/adr/0011.

mod device;
mod home;
mod ledger;
mod pushing;
mod rest;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::{device::Device, home::Home, ledger::Ledger};
use crate::server::Setup;

const PUSHERS: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_pushes_lose_nothing_on_files() {
    crash_again_and_again(Home::on_files(), 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_pushes_lose_nothing_on_object_storage() {
    crash_again_and_again(Home::on_object_storage().await, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_that_fails_in_the_middle_of_pushes_loses_nothing() {
    crash_again_and_again(Home::on_device(Device::new()), 3).await;
}

async fn crash_again_and_again(mut home: Home, times: u64) {
    let times = setting("ENTREPOT_CRASHES").unwrap_or(times);
    let seed = setting("ENTREPOT_CRASH_SEED").unwrap_or_else(rand::random);
    // Shown when the test fails, or with --nocapture.
    eprintln!("ENTREPOT_CRASH_SEED={seed}");
    let ledger = Ledger::default();
    for time in 0..times {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(time));
        let process = home.start(&[]).await;
        let images = ledger.images() + random.random_range(10..50);
        let url = process.url().to_owned();
        let pushing = pushing::push_until_it_ends(&url, &ledger, &mut random);
        let ending = async {
            ledger.until_images(images).await;
            process.kill().await
        };
        let ((), folder) = tokio::join!(pushing, ending);
        home.ended(folder);
        let process = home.start(&[]).await;
        ledger.verify(process.url()).await;
        home.ended(process.kill().await);
    }
    eprintln!("{} images in {times} crashes", ledger.images());
    rest::nothing_is_left_over(&mut home, times).await;
    ledger.forget_blobs();
    let process = home.start(&[]).await;
    ledger.verify(process.url()).await;
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

/// The configuration: the hosted project `team`, public.
fn text() -> String {
    let setup = crate::push::setup("");
    Setup::text(&setup)
}
