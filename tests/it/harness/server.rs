//! The inside of a fake registry: all its state, and what happens to each request, whatever the protocol.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::answer::answer;
use super::auth::{Issuer, refusal};
use super::content::Content;
use super::fault::{Fault, Scripted, take_faults};
use super::gate::{Gate, Hold};
use super::matcher::On;
use super::options::Options;
use super::pace::Pace;
use super::play::Exchange;
use super::recorder::Recorder;
use super::reply::{Reply, Step};
use super::request::{Kind, Request};

#[derive(Debug)]
pub(super) struct Server {
    pub(super) url: String,
    pub(super) content: Arc<Content>,
    pub(super) issuer: Arc<Issuer>,
    pub(super) recorder: Arc<Recorder>,
    /// A limit for all connections together.
    pub(super) shared_pace: Option<Arc<Pace>>,
    pub(super) connections: AtomicUsize,
    options: Mutex<Options>,
    faults: Mutex<Vec<Scripted>>,
    holds: Mutex<Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    on: On,
    /// None: before the headers.
    after_bytes: Option<u64>,
    gate: Arc<Gate>,
}

// === impl Server ===

impl Server {
    pub(super) fn new(
        url: String,
        content: Arc<Content>,
        issuer: Arc<Issuer>,
        options: Options,
        shared_pace: Option<Arc<Pace>>,
    ) -> Self {
        Self {
            url,
            content,
            issuer,
            recorder: Arc::default(),
            shared_pace,
            connections: AtomicUsize::new(0),
            options: Mutex::new(options),
            faults: Mutex::default(),
            holds: Mutex::default(),
        }
    }

    pub(super) fn options(&self) -> MutexGuard<'_, Options> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Vec<Scripted>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hold(&self, on: On, after_bytes: Option<u64>) -> Hold {
        let hold = Hold::new();
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        holds.retain(|held| !held.gate.is_open());
        holds.push(Held {
            on,
            after_bytes,
            gate: hold.gate(),
        });
        hold
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    /// The limits of a new connection.
    pub(super) fn paces(&self) -> Vec<Arc<Pace>> {
        let own = self
            .options()
            .bandwidth
            .map(|rate| Arc::new(Pace::new(rate)));
        own.into_iter().chain(self.shared_pace.clone()).collect()
    }

    /// Records the request and decides its answer, now: what changes later does not change it.
    pub(super) fn receive(&self, request: &Request, paces: &[Arc<Pace>]) -> Exchange {
        let entry = self.recorder.begin(request);
        let reply = self.decide(request);
        entry.status(reply.status);
        Exchange {
            head_only: request.is_head(),
            reply,
            entry,
            paces: paces.to_vec(),
        }
    }

    fn decide(&self, request: &Request) -> Reply {
        let mut options = self.options();
        // Faults and holds are for requests that were let in, so that a challenge uses none up.
        if let Some(refusal) = refusal(&self.issuer, &options, &self.url, request) {
            return refusal;
        }
        let faults = take_faults(&mut self.faults(), request);
        let mut reply = self.right_answer(request, &faults, &mut options);
        if !options.latency.is_zero() {
            reply.script.before_head.push(Step::Wait(options.latency));
        }
        for fault in faults {
            fault.apply(&mut reply, request);
        }
        self.apply_holds(&mut reply, request);
        reply
    }

    fn right_answer(&self, request: &Request, faults: &[Fault], options: &mut Options) -> Reply {
        if request.kind == Kind::Token {
            return self.issuer.answer(request, options, &self.content);
        }
        if faults.iter().any(Fault::ignores_range) {
            let mut whole = request.clone();
            whole.headers.remove("range");
            return answer(&whole, &self.content, options, &self.url);
        }
        answer(request, &self.content, options, &self.url)
    }

    fn apply_holds(&self, reply: &mut Reply, request: &Request) {
        let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = holds
            .iter()
            .filter(|held| !held.gate.is_open() && held.on.matches(request));
        for held in matching {
            let step = Step::Gate(Arc::clone(&held.gate));
            match held.after_bytes {
                // A held request waits first, and meets its faults when it is let go.
                None => reply.script.before_head.insert(0, step),
                Some(offset) => reply.script.in_body.push((offset, step)),
            }
        }
    }
}
