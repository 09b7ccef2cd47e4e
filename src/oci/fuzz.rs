//! Inputs that are nearly right, for the tests of parsers: what somebody sends who means harm, or whose program is broken.
//! A test takes a few hundred of them, and as many as fit into `ENTREPOT_FUZZ_SECONDS` when that is set (`make fuzz`).

use std::time::{Duration, Instant};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestCaseResult, TestRunner},
};

/// Inputs between two looks at the clock.
const CASES: u32 = 300;

pub(crate) const DIGEST: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Paths of every endpoint.
pub(crate) const PATHS: &[&str] = &[
    "/v2/",
    "/v2/_catalog",
    "/v2/team/app/manifests/v1.0",
    "/v2/team/app/manifests/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "/v2/team/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "/v2/a/b/c/blobs/uploads/",
    "/v2/team/app/blobs/uploads/0191f9c0-7c5e-7d4e-8b8f-3c7b3c2f1a10",
    "/v2/docker.io/library/nginx/tags/list",
    "/v2/team/app/referrers/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

/// What parsers stumble over.
const PIECES: &[&str] = &[
    "/",
    "//",
    "%",
    "%2F",
    "%2f",
    "%00",
    "%zz",
    ".",
    "..",
    ":",
    "@",
    ",",
    ";",
    "=",
    "\"",
    "\\",
    "-",
    "--",
    "_",
    "__",
    " ",
    "\t",
    "\r\n",
    "\0",
    "+",
    "*",
    "{",
    "}",
    "[",
    "]",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "18446744073709551616",
    "bytes=",
    "bytes ",
    "Bearer ",
    "Basic ",
    "realm=",
    "scope=\"",
    "manifests",
    "blobs",
    "uploads",
    "tags",
    "list",
    "sha256:",
    "&",
    "#",
    "?",
    "é",
    "\u{202e}",
    "\u{10ffff}",
    "𝕏",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

/// One step away from what is right.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Insert(Index, &'static str),
    Remove(Index, u8),
    Replace(Index, u8),
    /// What begins there comes once more.
    Repeat(Index, u8),
    CutAfter(Index),
}

impl Edit {
    fn apply(mut bytes: Vec<u8>, edit: Self) -> Vec<u8> {
        let place = |index: Index| index.index(bytes.len() + 1);
        let range = |index: Index, count: u8| {
            let start = place(index);
            start..(start + usize::from(count)).min(bytes.len())
        };
        match edit {
            Self::Insert(at, piece) => {
                let at = place(at);
                bytes.splice(at..at, piece.bytes());
            }
            Self::Remove(at, count) => {
                let range = range(at, count);
                bytes.drain(range);
            }
            Self::Replace(at, byte) => {
                let at = place(at);
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            Self::Repeat(at, count) => {
                let range = range(at, count);
                let (end, again) = (range.end, bytes[range].to_vec());
                bytes.splice(end..end, again);
            }
            Self::CutAfter(at) => bytes.truncate(place(at)),
        }
        bytes
    }
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        4 => (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        2 => (any::<Index>(), 1..20u8).prop_map(|(at, count)| Edit::Remove(at, count)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, count)| Edit::Repeat(at, count)),
        1 => any::<Index>().prop_map(Edit::CutAfter),
    ];
    vec(edit, 0..8)
}

/// Bytes that are a few edits away from one of these.
pub(crate) fn near(right: &[&str]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let right: Vec<Vec<u8>> = right.iter().map(|text| text.as_bytes().to_vec()).collect();
    let edited = |(bytes, edits): (_, Vec<Edit>)| edits.into_iter().fold(bytes, Edit::apply);
    (select(right), edits()).prop_map(edited)
}

/// As `near`, what is no UTF-8 replaced.
pub(crate) fn near_text(right: &[&str]) -> impl Strategy<Value = String> + use<> {
    near(right).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Looks for an input of which the claim is wrong; fails with the smallest that it can make of the first.
pub(crate) fn search<S: Strategy>(inputs: S, claim: impl Fn(S::Value) -> TestCaseResult) {
    let until = Instant::now() + time_to_search();
    loop {
        let mut runner = TestRunner::new(Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        });
        if let Err(failure) = runner.run(&inputs, &claim) {
            panic!("{failure}");
        }
        if Instant::now() >= until {
            return;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests' own knob is no configuration"
)]
fn time_to_search() -> Duration {
    let seconds = std::env::var("ENTREPOT_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds.unwrap_or(0))
}
