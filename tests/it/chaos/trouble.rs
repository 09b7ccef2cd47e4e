//! What happens to a world: everything at once, then an outage, then peace.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::sleep;

use super::{
    PATIENCE, faults,
    visitor::Visitor,
    world::{Room, World},
};
use crate::harness::{Client, Fault, On};

const CLIENTS: usize = 6;
const LENGTH: Duration = Duration::from_secs(4);

impl World {
    /// Clients at work while everything goes wrong.
    pub(super) async fn trouble(&self, random: &mut StdRng) {
        self.set_in_trouble(true);
        let end = Instant::now() + LENGTH;
        let clients = (0..CLIENTS).map(|_| {
            let mut random = StdRng::from_rng(&mut *random);
            async move {
                let visitor = Visitor::new(self);
                while Instant::now() < end {
                    visitor.visit(&mut random).await;
                }
            }
        });
        let clients: Vec<_> = clients.collect();
        let mischief = self.mischief(end, random);
        tokio::join!(join_all(clients), mischief);
        self.set_in_trouble(false);
    }

    async fn mischief(&self, end: Instant, random: &mut StdRng) {
        let mut is_full = false;
        while Instant::now() < end {
            faults::add(&self.remotes, self.plan.lies, random);
            match random.random_range(0..200) {
                0..=3 => self.end_and_start(random).await,
                4..=11 => self.damage(random),
                12..=13 => self.short_outage(random).await,
                14..=21 if self.plan.room != Room::Plenty => {
                    if is_full {
                        self.disk.make_room();
                    } else {
                        self.disk.fill_up(random.random_range(0..200_000));
                        self.tally().counts.full_disks += 1;
                    }
                    is_full = !is_full;
                }
                _ => {}
            }
            sleep(Duration::from_millis(random.random_range(5..50))).await;
        }
        if is_full {
            self.disk.make_room();
        }
        for remote in &self.remotes {
            remote.clear_faults();
        }
    }

    async fn end_and_start(&self, random: &mut StdRng) {
        self.tally().counts.kills += 1;
        if random.random_bool(0.2) {
            self.stop().await;
        } else {
            self.kill().await;
        }
        self.start().await;
    }

    async fn short_outage(&self, random: &mut StdRng) {
        let remote = &self.remotes[random.random_range(0..self.remotes.len())];
        if random.random_bool(0.5) {
            remote.stop().await;
        } else {
            remote.stop_answering().await;
        }
        sleep(Duration::from_millis(random.random_range(50..500))).await;
        remote.start_again().await;
    }

    /// Somebody cuts, changes or deletes the file of a blob.
    fn damage(&self, random: &mut StdRng) {
        let digests: BTreeSet<&String> = self.images.iter().flat_map(digests_of).collect();
        let present: Vec<(&String, PathBuf)> = digests
            .into_iter()
            .map(|digest| {
                (
                    digest,
                    crate::small_disk::blob_file(&self.disk.data(), digest),
                )
            })
            .filter(|(_, path)| path.exists())
            .collect();
        if present.is_empty() {
            return;
        }
        let (digest, path) = &present[random.random_range(0..present.len())];
        let named_by = |(place, image): (usize, &_)| {
            digests_of(image)
                .any(|named| named == *digest)
                .then_some(place)
        };
        let images: BTreeSet<usize> = self
            .images
            .iter()
            .enumerate()
            .filter_map(named_by)
            .collect();
        let is_manifest = self.images.iter().any(|image| {
            image
                .manifests
                .iter()
                .any(|manifest| manifest.digest == **digest)
        });
        // Nothing is counted as pulled meanwhile.
        let mut tally = self.tally();
        tally.damaged(&images, is_manifest);
        // It may be evicted, or deleted because it was damaged before, at any time.
        let Ok(file) = File::options().write(true).open(path) else {
            return;
        };
        let length = file.metadata().expect("an open file").len().max(1);
        let offset = random.random_range(0..length);
        match random.random_range(0..3) {
            0 => file.set_len(offset).expect("it is writable"),
            // The disk may be full, but this place is taken.
            1 => file.write_all_at(b"\x55", offset).expect("it is writable"),
            _ => drop(fs::remove_file(path)),
        }
    }

    /// The remote is away for good: what was pulled still pulls, also by a new process.
    pub(super) async fn outage(&self, random: &mut StdRng) {
        if random.random_bool(0.7) {
            self.settled().await;
        }
        match random.random_range(0..3) {
            0 => self.kill().await,
            1 => self.stop().await,
            _ => {}
        }
        self.break_down(random).await;
        if self.is_down() {
            self.start().await;
        }
        let kept = self.tally().kept();
        let visitor = Visitor::new(self);
        join_all(kept.iter().map(|place| self.outlive(&visitor, *place))).await;
        self.tally().counts.outlived += kept.len();
        let never = Client::new().get(&self.manifest(0, "never").await).await;
        assert!(
            (502..=504).contains(&never.status),
            "never pulled: {never:?}"
        );
        for remote in &self.remotes {
            remote.clear_faults();
            remote.start_again().await;
        }
    }

    async fn break_down(&self, random: &mut StdRng) {
        let way = random.random_range(0..5);
        for remote in &self.remotes {
            match way {
                0 => remote.stop().await,
                1 => remote.stop_answering().await,
                2 => remote.fault_always(On::any(), Fault::status(503)),
                3 => remote.fault_always(On::any(), Fault::too_many("3")),
                _ => remote.fault_always(On::any(), Fault::GarbageHttp),
            }
        }
    }

    async fn outlive(&self, visitor: &Visitor<'_>, place: usize) {
        if let Err(what) = visitor.pull(place).await {
            panic!("image {place} was pulled and is lost in an outage: {what}");
        }
    }

    /// The trouble is over: nothing of it lasts. Everything comes, and is kept again.
    pub(super) async fn peace(&self) {
        let visitor = Visitor::new(self);
        let visitor = &visitor;
        let comes = |place| until(place, "to come", move || visitor.pull(place));
        let is_kept = |place| {
            until(place, "to be kept", move || async move {
                match visitor.pull(place).await {
                    Ok(false) => Err("it came from the remote".to_owned()),
                    pulled => pulled,
                }
            })
        };
        let places = 0..self.images.len();
        join_all(places.clone().map(comes)).await;
        if self.plan.room == Room::Plenty {
            join_all(places.map(is_kept)).await;
            return;
        }
        // One at a time fits.
        for place in places.take(3) {
            is_kept(place).await;
        }
    }
}

/// Pulls until it is as it should be.
async fn until<F>(place: usize, what: &str, mut pull: impl FnMut() -> F)
where
    F: Future<Output = Result<bool, String>>,
{
    let end = Instant::now() + PATIENCE;
    while let Err(error) = pull().await {
        assert!(
            Instant::now() < end,
            "waited in vain for image {place} {what}: {error}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Of manifests and blobs.
fn digests_of(image: &crate::harness::Image) -> impl Iterator<Item = &String> {
    let manifests = image.manifests.iter().map(|manifest| &manifest.digest);
    manifests.chain(image.blobs.keys())
}
