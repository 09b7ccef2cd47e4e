//! Everything that a remote can do wrong, but for lying about what it has.
//!
//! Never a 404, nor a 401 that persists: that would be the truth about an image.

use std::time::Duration;

use rand::{RngExt as _, rngs::StdRng};

use crate::{
    fill::{KIB, MIB},
    harness::{FakeRegistry, Fault, On},
};

/// Faults that wait for their request, at most.
const WAITING: usize = 6;

/// Makes sure that something is about to go wrong.
pub(super) fn add(remotes: &[FakeRegistry], lies: bool, random: &mut StdRng) {
    for remote in remotes {
        while remote.faults_left() < WAITING {
            let (on, fault) = draw(lies, random);
            remote.fault(on, fault);
        }
    }
}

fn draw(lies: bool, random: &mut StdRng) -> (On, Fault) {
    let on = match random.random_range(0..10) {
        0..=1 => On::manifest().get(),
        2 => On::manifest().head(),
        3 => On::any(),
        4 => On::token(),
        5 => On::cdn(),
        6 => On::blob().head(),
        _ => On::blob().get(),
    };
    let fault = match random.random_range(0..if lies { 5 } else { 4 }) {
        0 => refusal(random),
        // What a HEAD says cannot be held against anything, and is believed.
        1 => return (On::any().get(), odd_headers(random)),
        2..=3 => trouble_on_the_wire(random),
        _ => return (On::blob().get(), lie(random)),
    };
    (on, fault)
}

fn refusal(random: &mut StdRng) -> Fault {
    match random.random_range(0..8) {
        0 => Fault::status(500),
        1 => Fault::status(502),
        2 => Fault::status(503),
        3 => Fault::Status(503, Some("1")),
        4 => Fault::too_many("1"),
        5 => Fault::HtmlPage,
        6 => Fault::RedirectLoop,
        _ => Fault::Redirect("http://127.0.0.1:9/nowhere".to_owned()),
    }
}

fn odd_headers(random: &mut StdRng) -> Fault {
    match random.random_range(0..8) {
        0 => Fault::NoDigestHeader,
        1 => Fault::NoLength,
        2 => Fault::WrongContentLength(random.random_range(-1000..1000)),
        3 => Fault::WrongContentRange,
        4 => Fault::IgnoreRange,
        5 => Fault::ShortRange(random.random_range(1..20 * KIB)),
        6 => Fault::NoHeader("content-type"),
        _ => Fault::NoHeader("content-range"),
    }
}

fn trouble_on_the_wire(random: &mut StdRng) -> Fault {
    let offset = random.random_range(0..400 * KIB as u64);
    let pause = Duration::from_millis(random.random_range(10..400));
    match random.random_range(0..13) {
        0 => Fault::CutAfter(offset),
        1 => Fault::ResetAfter(offset),
        2 => Fault::StallAfter(offset, pause),
        3 => Fault::HangAfter(offset),
        4 => Fault::SlowDrip(32 * KIB, pause / 10),
        5 => Fault::Delay(pause),
        6 => Fault::HangBeforeHeaders,
        7 => Fault::CutInHeaders,
        8 => Fault::DropBeforeAnswer,
        9 => Fault::ResetBeforeAnswer,
        10 => Fault::GarbageHttp,
        11 => Fault::CloseAfterAnswer,
        _ => Fault::CutAfter(0),
    }
}

/// Other content than the digest says.
fn lie(random: &mut StdRng) -> Fault {
    let offset = random.random_range(0..400 * KIB as u64);
    match random.random_range(0..7) {
        0..=1 => Fault::FlipByteAt(offset),
        2 => Fault::WrongBody(crate::harness::random_bytes(offset, 10 * KIB)),
        3 => Fault::EmptyBody,
        4 => Fault::GarbageJson,
        5 => Fault::HugeBody(3 * MIB as u64),
        _ => Fault::EndlessBody,
    }
}
