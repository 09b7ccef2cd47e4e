//! `Hold`: a gate that keeps matching requests waiting until the test lets them go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

/// The test's end of a gate; dropping it lets everybody go.
#[derive(Debug)]
pub(crate) struct Hold {
    gate: Arc<Gate>,
}

/// The server's end.
#[derive(Debug)]
pub(super) struct Gate {
    passes: Semaphore,
    reached: watch::Sender<usize>,
}

// === impl Hold ===

impl Hold {
    pub(super) fn new() -> Self {
        let gate = Gate {
            passes: Semaphore::new(0),
            reached: watch::Sender::new(0),
        };
        Self {
            gate: Arc::new(gate),
        }
    }

    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    /// Waits until `count` requests in all have come to the gate.
    pub(crate) async fn reached(&self, count: usize) {
        let mut reached = self.gate.reached.subscribe();
        let arrivals = reached.wait_for(|arrivals| *arrivals >= count);
        let outcome = tokio::time::timeout(Duration::from_secs(10), arrivals).await;
        let seen = *self.gate.reached.borrow();
        assert!(
            outcome.is_ok(),
            "waited 10 s for {count} requests at the gate, {seen} came"
        );
    }

    /// Lets `count` of the waiting (or next) requests go.
    pub(crate) fn release_some(&self, count: usize) {
        self.gate.passes.add_permits(count);
    }

    /// Opens the gate for good.
    pub(crate) fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.passes.close();
    }
}

// === impl Gate ===

impl Gate {
    pub(super) fn is_open(&self) -> bool {
        self.passes.is_closed()
    }

    pub(super) async fn pass(&self) {
        self.reached.send_modify(|arrivals| *arrivals += 1);
        // An error means that the gate is open for good.
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
    }
}
