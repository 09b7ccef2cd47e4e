//! Sending: from a [`Source`] to a registry. `copy` and `sync` call it, and the tasks of rules.
//!
//! ```text
//! Sender::send ─► HEAD of source and destination: the same? done
//!     └─ tree: children first ─► blobs: HEAD ─► mount ─► upload (whole, or in pieces; goes on where it broke)
//!                 └─ manifest by digest … the root's tag last: who pulls there sees the whole image, or none
//!     └─ referrers and signature tags
//! ```
//!
//! Nothing is kept here but a few buffers for each upload. A future may be dropped at any time: at once nothing more is
//! sent, and what was sent is found there the next time.

mod blob;
mod choice;
mod destination;
mod home;
mod notes;
mod progress;
mod reader;
mod referrers;
mod source;
mod tree;
mod upload;

#[cfg(test)]
mod tests;

use std::sync::{Arc, atomic::AtomicBool};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{Semaphore, SemaphorePermit};

use self::referrers::Followed;
use super::budget::Budget;
use crate::{
    client::ClientError,
    oci::{Descriptor, Digest, Name, PlatformPattern, Reference, Tag, TagState, TagVersion},
};

pub use choice::{chosen, image_platform};
pub use destination::{Destination, Found};
pub use home::{Home, HomeBody, HomeError};
pub use notes::Notes;
pub use progress::{Counted, Progress};
pub use source::{RemoteSource, Source, SourceBlob, SourceError, SourceManifest};

/// What all sends together keep to; clones are one.
#[derive(Clone)]
pub struct Sender {
    transfers: Arc<Semaphore>,
    budgets: Arc<[Arc<Budget>]>,
    notes: Option<Notes>,
    /// Somebody could not be asked what refers to something; all clones know.
    unanswered: Arc<AtomicBool>,
}

/// One thing to send.
#[derive(Debug, Clone)]
pub struct Order {
    /// The repository at the source.
    pub from: Name,
    pub reference: Reference,
    /// The repository at the destination.
    pub to: Name,
    /// What it is called there; no tag: by its digest alone.
    pub tags: Vec<Tag>,
    /// A repository of the destination that has all of it: the source's, when both are one registry.
    pub mount_from: Option<Name>,
    pub existing: Existing,
    /// Which write the tags are of, for a destination that keeps that.
    pub version: Option<TagVersion>,
    pub platforms: Platforms,
    pub referrers: Referrers,
}

/// What may be done to a tag that is something else at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    Overwrite,
    /// Only if it is one of these; no digests: keep everything.
    OverwriteOnly(Vec<Digest>),
    /// Manifests are put even where they are the same already.
    Renew,
}

/// Which manifests of an index are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platforms {
    All,
    /// Those for one of these, under an index that names no others: its digest is another one.
    Rewrite(Vec<PlatformPattern>),
    /// These alone, under the index as it is: for destinations that take one whose manifests are not all there.
    Keep(Vec<Digest>),
    /// These alone, under an index that names no others.
    Only(Vec<Digest>),
}

/// Are signatures and what else names the image as its subject sent with it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referrers {
    No,
    All,
    /// As far as the source can give it now: a mirror whose remote cannot be asked. The rest is told in [`Sent::missed`].
    Reachable,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub outcome: Outcome,
    /// Of the manifest that was, or would have been, sent.
    pub digest: Digest,
    /// How many referrers and signature tags were sent.
    pub referrers: usize,
    /// Why some of them were not, if that may be so.
    pub missed: Option<String>,
}

/// What happened to the tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// All of them were right.
    Unchanged,
    /// One of them is something else there, and stays so. Nothing was sent.
    Kept {
        there: Digest,
        /// The destination knows of a newer write than the order's.
        is_newer: bool,
    },
    /// Nothing of it is for the platforms that were asked for.
    NoPlatform,
}

/// Why something was not sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    #[error("cannot read from {0}")]
    Source(#[from] SourceError),
    #[error("cannot write to {0}")]
    Destination(#[from] ClientError),
    #[error("cannot be taken in: {0}")]
    Home(#[from] HomeError),
    #[error("{digest} should have {expected} bytes, and the source has {found}")]
    Size {
        digest: Digest,
        expected: u64,
        found: u64,
    },
    #[error("the source does not give {0} as it was asked to")]
    Damaged(Digest),
    #[error("its indexes name each other too deeply")]
    Nested,
    #[error("cannot note what is about to be sent: {0}")]
    Unnoted(String),
    #[error("the destination takes what it is sent of {0}, and keeps none of it")]
    Unkept(Digest),
}

impl SendError {
    /// Trying again soon will not help: rights, names, content.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Source(error) => !error.is_transient(),
            Self::Destination(error) => !source::is_transient(error),
            Self::Home(error) => matches!(error, HomeError::Refused(_)),
            Self::Size { .. } | Self::Damaged(_) | Self::Nested => true,
            Self::Unnoted(_) | Self::Unkept(_) => false,
        }
    }
}

/// An order that is being carried out.
struct Job<'a> {
    sender: &'a Sender,
    source: &'a Arc<dyn Source>,
    destination: &'a Destination,
    order: &'a Order,
    progress: &'a Progress,
}

/// What became of the manifest that an order is about.
enum RootSent {
    /// It is there: the digests of all manifests.
    All(Vec<Digest>),
    Newer(TagState),
}

/// What the destination has where the order points to.
enum Standing {
    /// These are to be put.
    Missing(Vec<Reference>),
    Same,
    Other(Digest),
}

impl Sender {
    /// At most so many blobs are uploaded at once, under all of these budgets.
    pub fn new(transfers: usize, budgets: impl IntoIterator<Item = Arc<Budget>>) -> Self {
        Self {
            transfers: Arc::new(Semaphore::new(transfers.max(1))),
            budgets: budgets.into_iter().collect(),
            notes: None,
            unanswered: Arc::default(),
        }
    }

    /// Notes what is put under a tag, and the uploads of large blobs; goes on with those that are noted.
    #[must_use]
    pub fn noting(self, notes: Notes) -> Self {
        Self {
            notes: Some(notes),
            ..self
        }
    }

    /// Carries out one order.
    pub fn send<'a>(
        &'a self,
        source: &'a Arc<dyn Source>,
        destination: &'a Destination,
        order: &'a Order,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Sent, SendError>> {
        let job = Job {
            sender: self,
            source,
            destination,
            order,
            progress,
        };
        async move { job.run().await }.boxed()
    }

    async fn permit(&self) -> SemaphorePermit<'_> {
        let permit = self.transfers.acquire().await;
        permit.expect("nobody closes it")
    }

    fn budgets(&self) -> &[Arc<Budget>] {
        &self.budgets
    }

    /// Where the upload of this blob is noted.
    fn notes(&self, blob: &Descriptor) -> Option<&Notes> {
        self.notes.as_ref().filter(|_| Notes::are_for(blob))
    }
}

impl Job<'_> {
    async fn run(&self) -> Result<Sent, SendError> {
        let Order {
            from, reference, ..
        } = self.order;
        let found = self.source.digest(from, reference).await?;
        let reference = Reference::Digest(found.clone());
        let mut root = None;
        if self.order.platforms != Platforms::All {
            let manifest = self.source.manifest(from, &reference).await?;
            let Some(chosen) = Box::pin(self.choose(manifest)).await? else {
                return Ok(sent(Outcome::NoPlatform, found));
            };
            root = Some(chosen);
        }
        let digest = root.as_ref().map_or(found, |root| root.digest.clone());
        let (outcome, subjects) = match self.standing(&digest).await? {
            Standing::Other(there) => return Ok(kept(there, false, digest)),
            Standing::Same if self.order.referrers == Referrers::No => {
                return Ok(sent(Outcome::Unchanged, digest));
            }
            Standing::Same => {
                let root = self.read(root, &reference).await?;
                (Outcome::Unchanged, self.manifests_of(&root))
            }
            Standing::Missing(puts) => {
                let root = self.read(root, &reference).await?;
                if let Some(notes) = &self.sender.notes {
                    let noted = notes.claim(&root.digest).await;
                    noted.map_err(|error| SendError::Unnoted(error.to_string()))?;
                }
                match Box::pin(self.send_root(root, &puts)).await? {
                    RootSent::Newer(there) => return Ok(kept(there.digest, true, digest)),
                    RootSent::All(digests) => (Outcome::Sent, digests),
                }
            }
        };
        let followed = match self.order.referrers {
            Referrers::No => Followed::default(),
            _ => Box::pin(self.send_referrers(subjects)).await?,
        };
        Ok(Sent {
            referrers: followed.sent,
            missed: followed.missed,
            ..sent(outcome, digest)
        })
    }

    /// The manifest that the order is about, which may have been read already.
    async fn read(
        &self,
        read: Option<SourceManifest>,
        reference: &Reference,
    ) -> Result<SourceManifest, SendError> {
        match read {
            Some(root) => Ok(root),
            None => Ok(self.source.manifest(&self.order.from, reference).await?),
        }
    }

    async fn standing(&self, digest: &Digest) -> Result<Standing, SendError> {
        let Order { tags, existing, .. } = self.order;
        if tags.is_empty() {
            let reference = Reference::Digest(digest.clone());
            return Ok(match self.there(&reference).await? {
                Some(_) if *existing != Existing::Renew => Standing::Same,
                _ => Standing::Missing(vec![reference]),
            });
        }
        let mut missing = Vec::new();
        for tag in tags {
            let reference = Reference::Tag(tag.clone());
            match (self.there(&reference).await?, existing) {
                (Some(there), _) if there == *digest && *existing != Existing::Renew => {}
                (Some(there), Existing::OverwriteOnly(may)) if !may.contains(&there) => {
                    return Ok(Standing::Other(there));
                }
                _ => missing.push(reference),
            }
        }
        Ok(match missing.is_empty() {
            true => Standing::Same,
            false => Standing::Missing(missing),
        })
    }

    /// The manifest that the destination has under this reference.
    async fn there(&self, reference: &Reference) -> Result<Option<Digest>, SendError> {
        self.destination.digest(&self.order.to, reference).await
    }
}

fn kept(there: Digest, is_newer: bool, digest: Digest) -> Sent {
    sent(Outcome::Kept { there, is_newer }, digest)
}

fn sent(outcome: Outcome, digest: Digest) -> Sent {
    Sent {
        outcome,
        digest,
        referrers: 0,
        missed: None,
    }
}
