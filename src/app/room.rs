//! How many connections a listener takes, so that clients never use up the files and the memory of the process, and one
//! client never takes all the places.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;
use tokio::sync::Notify;

use crate::access::Source;

/// More connections than this cost more memory than a mirror should take.
const MOST_CONNECTIONS: usize = 32_768;

/// The places of one listener; cheap to clone.
#[derive(Clone)]
pub(super) struct Room(Arc<Inner>);

struct Inner {
    places: usize,
    /// The most that one address may have.
    share: usize,
    /// Many clients come from these addresses.
    trusted_proxies: Vec<IpNet>,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_client: HashMap<Source, usize>,
}

/// One place, free again when dropped.
pub(super) struct Place {
    room: Room,
    client: Source,
}

impl Room {
    /// For a process that may have `open_files`, one half of them for the connections of all its `listeners`. The rest is
    /// for content, rows and remotes.
    pub(super) fn new(open_files: u64, listeners: usize, trusted_proxies: Vec<IpNet>) -> Self {
        let files = usize::try_from(open_files).unwrap_or(usize::MAX);
        let places = ((files / 2).min(MOST_CONNECTIONS) / listeners.max(1)).max(1);
        Self(Arc::new(Inner {
            places,
            // A quarter is left for others, such as those who ask whether the server lives.
            share: (places - places / 4).max(1),
            trusted_proxies,
            taken: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// Waits until there is a place. Only one caller at a time; it takes the place itself.
    pub(super) async fn free(&self) {
        loop {
            let freed = self.0.freed.notified();
            if self.lock().all < self.0.places {
                return;
            }
            freed.await;
        }
    }

    /// A place for a connection from this address; `None`: it has its share.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let client = Source::of(address);
        let is_proxy = self
            .0
            .trusted_proxies
            .iter()
            .any(|net| net.contains(&address));
        let mut taken = self.lock();
        let own = taken.by_client.entry(client).or_default();
        if *own >= self.0.share && !is_proxy {
            return None;
        }
        *own += 1;
        taken.all += 1;
        Some(Place {
            room: self.clone(),
            client,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing under this lock can leave the counts half changed.
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.lock();
        taken.all -= 1;
        if let Some(own) = taken.by_client.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.by_client.remove(&self.client);
            }
        }
        drop(taken);
        self.room.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_leaves_a_quarter_to_others() {
        let room = Room::new(32, 2, Vec::new());
        let flood: Vec<_> = std::iter::from_fn(|| room.take(address("192.0.2.1"))).collect();
        assert_eq!(flood.len(), 6);
        assert!(room.take(address("192.0.2.2")).is_some());
        drop(flood);
        assert!(room.take(address("192.0.2.1")).is_some());
        assert!(
            room.lock().by_client.is_empty(),
            "what is free is forgotten"
        );
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_a_proxy_is_many() {
        let room = Room::new(16, 1, vec!["10.0.0.0/8".parse().unwrap()]);
        let flood: Vec<_> = (0..20)
            .filter_map(|host| room.take(address(&format!("2001:db8::{host}"))))
            .collect();
        assert_eq!(flood.len(), 6);
        let proxied: Vec<_> = (0..20)
            .filter_map(|_| room.take(address("10.0.0.1")))
            .collect();
        assert_eq!(proxied.len(), 20);
    }

    #[tokio::test]
    async fn when_all_places_are_taken_the_next_one_waits() {
        let room = Room::new(8, 1, vec!["0.0.0.0/0".parse().unwrap()]);
        let mut places: Vec<_> = (0..4)
            .filter_map(|_| room.take(address("10.0.0.1")))
            .collect();
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.free().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        places.pop();
        waiting.await.unwrap();
    }
}
