//! One client, and what it holds against its answers.

use std::{ops::Range, time::Duration};

use http::Method;
use rand::{RngExt as _, rngs::StdRng};
use tokio::time::timeout;

use super::{PATIENCE, world::World};
use crate::{
    fill::KIB,
    harness::{Answer, Client, SlowReader, sha256},
};

/// Keeps its connections.
pub(super) struct Visitor<'w> {
    world: &'w World,
    client: Client,
}

/// A completed answer.
struct Part {
    /// It came from the store and stays there.
    from_here: bool,
}

impl<'w> Visitor<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self {
            world,
            client: Client::new(),
        }
    }

    /// One thing that a client does in trouble.
    pub(super) async fn visit(&self, random: &mut StdRng) {
        let place = random.random_range(0..self.world.images.len());
        let image = &self.world.images[place];
        let digests: Vec<&String> = image.blobs.keys().collect();
        let digest = digests[random.random_range(0..digests.len())];
        match random.random_range(0..12) {
            0..=5 => {
                let pulled = self.pull(place).await;
                let counts = &mut self.world.tally().counts;
                if pulled.is_ok() {
                    counts.whole += 1;
                } else {
                    counts.broken += 1;
                }
            }
            6..=7 => self.part(place, digest, random).await,
            8 => self.head(place, digest).await,
            9 => self.slowly(place, digest, random).await,
            // Leaves in the middle.
            _ => {
                let bytes = random.random_range(0..300 * KIB);
                if let Some(mut reader) = self.open(&self.world.blob(place, digest).await).await {
                    let read = timeout(PATIENCE, reader.read(bytes)).await;
                    read.expect("bytes or an end in time");
                }
            }
        }
    }

    /// The whole image, and whether all of it was here; or what did not come.
    pub(super) async fn pull(&self, place: usize) -> Result<bool, String> {
        let image = &self.world.images[place];
        let began = self.world.tally().begin();
        let tag = self.world.manifest(place, &place.to_string()).await;
        let mut all_here = self.get(&tag, &image.root).await?.from_here;
        for manifest in &image.manifests {
            let url = self.world.manifest(place, &manifest.digest).await;
            all_here &= self.get(&url, &manifest.digest).await?.from_here;
        }
        for digest in image.blobs.keys() {
            let url = self.world.blob(place, digest).await;
            all_here &= self.get(&url, digest).await?.from_here;
        }
        self.world.tally().pulled(place, began, all_here);
        Ok(all_here)
    }

    /// A whole body that has this digest, or else an answer that says so, or one that was cut.
    async fn get(&self, url: &str, digest: &str) -> Result<Part, String> {
        let Some(answer) = self.ask(Method::GET, url, &[]).await else {
            return Err(format!("no answer from {url}"));
        };
        if !self.is_content(url, &answer) {
            return Err(format!("{} {:?} from {url}", answer.status, answer.body));
        }
        if !answer.complete {
            return Err(format!("{} cut after {} bytes", url, answer.body.len()));
        }
        assert_eq!(sha256(&answer.body), digest, "{url}: {:?}", answer.headers);
        Ok(Part {
            from_here: matches!(answer.header("x-cache"), "hit" | "stale"),
        })
    }

    async fn head(&self, place: usize, digest: &str) {
        let image = &self.world.images[place];
        let manifest = image.root_manifest();
        let asked = [
            (
                self.world.manifest(place, &place.to_string()).await,
                manifest.digest.as_str(),
                manifest.bytes.len(),
            ),
            (
                self.world.blob(place, digest).await,
                digest,
                image.blob(digest).len(),
            ),
        ];
        for (url, digest, length) in asked {
            let Some(answer) = self.ask(Method::HEAD, &url, &[]).await else {
                return;
            };
            if answer.status == 200 {
                assert_eq!(answer.header("docker-content-digest"), digest, "{url}");
                assert_eq!(answer.header("content-length"), length.to_string(), "{url}");
            } else {
                // Without a body.
                assert!((502..=504).contains(&answer.status), "{url}: {answer:?}");
            }
        }
    }

    /// Some of a blob: its bytes, or all of them, or an error, or cut short.
    async fn part(&self, place: usize, digest: &str, random: &mut StdRng) {
        let bytes = self.world.images[place].blob(digest);
        let url = self.world.blob(place, digest).await;
        let start = random.random_range(0..bytes.len());
        let end = random.random_range(start..bytes.len()) + 1;
        let (header, wanted): (String, Range<usize>) = match random.random_range(0..3) {
            0 => (format!("bytes={start}-"), start..bytes.len()),
            1 => (
                format!("bytes=-{}", bytes.len() - start),
                start..bytes.len(),
            ),
            _ => (format!("bytes={start}-{}", end - 1), start..end),
        };
        let headers = [("range", header.as_str())];
        let Some(answer) = self.ask(Method::GET, &url, &headers).await else {
            return;
        };
        // Of a blob that no manifest has named yet only the remote knows the length, and may lie.
        let is_beyond = answer.status == 416 && self.world.is_in_trouble();
        if is_beyond || !self.is_content(&url, &answer) || !answer.complete {
            return;
        }
        // All of it is the way out where the remote gives no length.
        let (right, has_end) = match answer.status {
            206 => (&bytes[wanted.clone()], wanted.end == bytes.len()),
            _ => (&bytes[..], true),
        };
        assert_eq!(answer.body.len(), right.len(), "{url} {header}");
        // What ends before the last byte may be complete before the digest is known.
        if has_end || !self.world.plan.lies {
            assert!(answer.body == right, "{url} {header}: other bytes");
        }
    }

    /// Reads with pauses, to the end.
    async fn slowly(&self, place: usize, digest: &str, random: &mut StdRng) {
        let bytes = self.world.images[place].blob(digest);
        let url = self.world.blob(place, digest).await;
        let Some(mut reader) = self.open(&url).await else {
            return;
        };
        if reader.status != 200 {
            return;
        }
        let mut body = Vec::new();
        let step = bytes.len() / random.random_range(2..12) + 1;
        while body.len() < bytes.len() {
            let read = timeout(PATIENCE, reader.read(step)).await;
            let read = read.unwrap_or_else(|_| panic!("no end of {url}"));
            body.extend_from_slice(&read);
            if read.len() < step {
                break;
            }
            let pause = Duration::from_millis(random.random_range(0..100));
            tokio::time::sleep(pause).await;
        }
        if reader.is_complete() {
            assert!(body == bytes, "{url}: other bytes, slowly");
        }
    }

    /// An answer; none if the connection broke before its head, which is allowed in trouble only.
    async fn ask(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let answer = timeout(PATIENCE, self.client.try_send(method, url, headers)).await;
        match answer.unwrap_or_else(|_| panic!("no end of {url}")) {
            Ok(answer) => Some(answer),
            Err(error) => {
                assert!(self.world.is_in_trouble(), "no answer: {url}: {error:?}");
                None
            }
        }
    }

    async fn open(&self, url: &str) -> Option<SlowReader> {
        let opened = timeout(PATIENCE, SlowReader::try_open(url, &[])).await;
        let opened = opened
            .unwrap_or_else(|_| panic!("no answer from {url}"))
            .ok();
        assert!(opened.is_some() || self.world.is_in_trouble(), "{url}");
        opened
    }

    /// Content, or an error of the kinds that are allowed, with a reason.
    fn is_content(&self, url: &str, answer: &Answer) -> bool {
        match answer.status {
            200 | 206 => true,
            502..=504 => {
                if answer.complete {
                    let reason = &answer.json()["errors"][0];
                    let told = reason["message"]
                        .as_str()
                        .is_some_and(|told| !told.is_empty());
                    assert!(told && reason["code"] == "UNAVAILABLE", "{url}: {reason}");
                }
                false
            }
            other => panic!("{url}: {other} {:?}", answer.body),
        }
    }
}
