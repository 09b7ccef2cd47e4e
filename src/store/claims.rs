//! Who puts, adopts or deletes which content: one at a time per digest, until the last blocking step of the former is over
//! and the rows that tell of it are written. And who writes to which spool, or to the file of which upload session.
//!
//! Looking for rows that name a file and deleting it are two steps, and so are finding a file and writing rows that name
//! it. Without a claim one could come between the other's.
//!
//! An `append` whose future was dropped still writes. Without a claim a second spool of the digest could be hashed
//! while the first one changes the file under it, and content that nobody verified would be committed.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::oci::Digest;

pub(super) struct Claims<K> {
    held: Mutex<HashSet<K>>,
    released: Notify,
}

impl<K> Default for Claims<K> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            released: Notify::new(),
        }
    }
}

impl<K: Hash + Eq + Clone> Claims<K> {
    /// Waits until nobody holds the key. May be dropped at any time.
    pub(super) async fn claim(self: &Arc<Self>, key: &K) -> Claim<K> {
        loop {
            // Register before looking, so that no release is missed.
            let mut released = std::pin::pin!(self.released.notified());
            released.as_mut().enable();
            if let Some(claim) = self.try_claim(key) {
                return claim;
            }
            released.await;
        }
    }

    /// The claim, if nobody holds the key.
    pub(super) fn try_claim(self: &Arc<Self>, key: &K) -> Option<Claim<K>> {
        self.held().insert(key.clone()).then(|| Claim {
            claims: Arc::clone(self),
            key: key.clone(),
        })
    }
}

impl<K: Hash + Eq> Claims<K> {
    pub(super) fn is_claimed(&self, key: &K) -> bool {
        self.held().contains(key)
    }
}

impl<K> Claims<K> {
    fn held(&self) -> MutexGuard<'_, HashSet<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to change what is here of one digest; ends when dropped.
pub struct Claim<K: Hash + Eq = Digest> {
    claims: Arc<Claims<K>>,
    key: K,
}

impl Claim {
    /// What it is a claim to.
    pub fn digest(&self) -> &Digest {
        &self.key
    }
}

impl<K: Hash + Eq> Drop for Claim<K> {
    fn drop(&mut self) {
        self.claims.held().remove(&self.key);
        self.claims.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_claim_waits_for_the_one_before_and_for_no_other() {
        let claims = Arc::new(Claims::default());
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let first = claims.claim(&a).await;
        assert!(claims.try_claim(&a).is_none());
        assert!(claims.claim(&b).now_or_never().is_some());

        let second = tokio::spawn({
            let (claims, a) = (Arc::clone(&claims), a.clone());
            async move { claims.claim(&a).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        drop(second.await.unwrap());
        assert!(claims.held().is_empty());
    }
}
