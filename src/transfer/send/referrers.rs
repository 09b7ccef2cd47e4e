//! What belongs to an image without being part of it: manifests that name it as their subject, and the tags by which cosign
//! keeps signatures (`.sig`), attestations (`.att`) and bills of materials (`.sbom`) beside it.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::Bytes;
use serde_json::json;
use tokio::time::timeout;

use super::{Job, Referrers, SendError, SourceError, SourceManifest};
use crate::{
    client::{ClientError, ErrorKind, Patience, referrers_tag},
    oci::{Descriptor, Digest, Manifest, Reference, Tag, TagState, media_type},
};

/// Referrers of referrers, and so on.
const MAX_DEPTH: usize = 8;
/// Within that what is here is read.
const AT_ONCE: Duration = Duration::from_millis(500);
const SIGNATURE_TAGS: [&str; 3] = ["sig", "att", "sbom"];

/// What came of the referrers of something.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) sent: usize,
    /// Why some of them are not, if that may be so.
    pub(super) missed: Option<String>,
}

/// What became of one referrer.
enum Placed {
    Sent,
    Present,
}

impl Job<'_> {
    /// Sends all that belongs to these manifests, which are there.
    pub(super) async fn send_referrers(
        &self,
        subjects: Vec<Digest>,
    ) -> Result<Followed, SendError> {
        let mut seen: HashSet<Digest> = subjects.iter().cloned().collect();
        let (mut subjects, mut followed) = (subjects, Followed::default());
        for _ in 0..MAX_DEPTH {
            let mut found = Vec::new();
            for subject in &subjects {
                self.send_signature_tags(subject, &mut followed).await?;
                for referrer in self.send_referrers_of(subject, &mut followed).await? {
                    if seen.insert(referrer.clone()) {
                        found.push(referrer);
                    }
                }
            }
            subjects = found;
        }
        Ok(followed)
    }

    /// Sends what names this manifest as its subject; gives all that is there then.
    async fn send_referrers_of(
        &self,
        subject: &Digest,
        followed: &mut Followed,
    ) -> Result<Vec<Digest>, SendError> {
        let asked = self.source.referrers(&self.order.from, subject);
        let referrers = self.answered(asked).await;
        let referrers = self.or_missed(referrers.map_err(SendError::from), followed)?;
        let (mut there, mut present) = (Vec::new(), Vec::new());
        for referrer in referrers.unwrap_or_default() {
            let placed = self.send_referrer(&referrer, subject).await;
            match self.or_missed(placed, followed)? {
                Some(Placed::Sent) => followed.sent += 1,
                Some(Placed::Present) => present.push(referrer.digest.clone()),
                None => continue,
            }
            there.push(referrer.digest);
        }
        self.keep_listed(&present, subject).await?;
        Ok(there)
    }

    /// What a source says. Once one whose remote may be away has failed to, only what it has itself is waited for.
    async fn answered<T>(
        &self,
        question: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        if self.order.referrers != Referrers::Reachable {
            return question.await;
        }
        let unanswered = &self.sender.unanswered;
        if !unanswered.load(Relaxed) {
            let answer = question.await;
            if matches!(&answer, Err(error) if error.is_transient()) {
                unanswered.store(true, Relaxed);
            }
            return answer;
        }
        let late = || SourceError::Unavailable("nobody could be asked for it before".to_owned());
        let answer = timeout(AT_ONCE, question).await;
        answer.unwrap_or_else(|_| Err(late()))
    }

    /// What the source cannot give now is missed, if the order is for what can be reached.
    fn or_missed<T>(
        &self,
        answer: Result<T, SendError>,
        followed: &mut Followed,
    ) -> Result<Option<T>, SendError> {
        match answer {
            Err(SendError::Source(error))
                if self.order.referrers == Referrers::Reachable && error.is_transient() =>
            {
                followed.missed.get_or_insert_with(|| error.to_string());
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    async fn send_referrer(
        &self,
        referrer: &Descriptor,
        subject: &Digest,
    ) -> Result<Placed, SendError> {
        let reference = Reference::Digest(referrer.digest.clone());
        if self.there(&reference).await?.is_some() {
            return Ok(Placed::Present);
        }
        let asked = self.source.manifest(&self.order.from, &reference);
        let manifest = self.answered(asked).await?;
        let parsed = Manifest::parse(&manifest.bytes);
        self.send_content(&parsed, &parsed.manifests, 0).await?;
        let taken = self.put(&manifest, &parsed, &reference, None).await?;
        if !taken.lists_referrers {
            self.list_referrer(described(&manifest, &parsed), subject)
                .await?;
        }
        Ok(Placed::Sent)
    }

    /// Lists those referrers that are there and in no list: somebody was cut between the two.
    async fn keep_listed(&self, present: &[Digest], subject: &Digest) -> Result<(), SendError> {
        let Some(client) = self
            .destination
            .without_lists()
            .filter(|_| !present.is_empty())
        else {
            return Ok(());
        };
        let listed = client.referrer_list(&self.order.to, subject, Patience::Full);
        let listed: HashSet<Digest> = match listed.await {
            Ok(listed) => listed.into_iter().map(|one| one.digest).collect(),
            // Who may not ask for the list is not told what it lacks.
            Err(error) if error.kind == ErrorKind::Denied => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for digest in present.iter().filter(|digest| !listed.contains(digest)) {
            let reference = Reference::Digest(digest.clone());
            let manifest = client.manifest_get(&self.order.to, &reference, Patience::Full);
            let manifest = manifest.await?;
            let manifest = SourceManifest {
                digest: manifest.digest,
                media_type: manifest.media_type,
                bytes: manifest.bytes,
            };
            let parsed = Manifest::parse(&manifest.bytes);
            self.list_referrer(described(&manifest, &parsed), subject)
                .await?;
        }
        Ok(())
    }

    /// Adds a referrer to the list that the destination does not keep itself.
    // spec: Referrers Tag Schema, "Pushing Manifests with Subject"
    async fn list_referrer(&self, referrer: Descriptor, subject: &Digest) -> Result<(), SendError> {
        let Some(client) = self.destination.client() else {
            return Ok(());
        };
        let to = &self.order.to;
        let tag = Reference::Tag(referrers_tag(subject));
        let mut list = match client.manifest_get(to, &tag, Patience::Full).await {
            Ok(list) => Manifest::parse(&list.bytes).manifests,
            Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if list.iter().any(|listed| listed.digest == referrer.digest) {
            return Ok(());
        }
        list.push(referrer);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": list,
        });
        let bytes = Bytes::from(index.to_string());
        client
            .manifest_put(to, &tag, (media_type::OCI_INDEX, bytes), None)
            .await?;
        Ok(())
    }

    async fn send_signature_tags(
        &self,
        subject: &Digest,
        followed: &mut Followed,
    ) -> Result<(), SendError> {
        for tag in signature_tags(subject) {
            let sent = self.send_signature_tag(tag).await;
            let sent = self.or_missed(sent, followed)?;
            followed.sent += usize::from(sent == Some(true));
        }
        Ok(())
    }

    /// False: there is no such tag, or it is there already.
    async fn send_signature_tag(&self, tag: Tag) -> Result<bool, SendError> {
        let reference = Reference::Tag(tag.clone());
        let asked = self.source.digest(&self.order.from, &reference);
        let digest = match self.answered(asked).await {
            Ok(digest) => digest,
            Err(
                SourceError::Missing(_)
                | SourceError::Remote(ClientError {
                    kind: ErrorKind::NotFound,
                    ..
                }),
            ) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let there = self.destination.tag(&self.order.to, &tag).await?;
        let state = match &there.state {
            Some(_) => self.source.tag_state(&self.order.from, &tag).await?,
            None => None,
        };
        let is_newer = |here: &TagState| {
            there
                .state
                .as_ref()
                .is_some_and(|there| there.version >= here.version)
        };
        if there.digest.as_ref() == Some(&digest) || state.as_ref().is_some_and(is_newer) {
            return Ok(false);
        }
        let by_digest = Reference::Digest(digest);
        let manifest = self.source.manifest(&self.order.from, &by_digest).await?;
        let parsed = Manifest::parse(&manifest.bytes);
        self.send_content(&parsed, &parsed.manifests, 0).await?;
        self.put(&manifest, &parsed, &reference, state.as_ref())
            .await?;
        Ok(true)
    }
}

/// A referrer as it stands in a list.
fn described(manifest: &SourceManifest, parsed: &Manifest) -> Descriptor {
    Descriptor {
        media_type: manifest.media_type.clone(),
        digest: manifest.digest.clone(),
        size: Some(manifest.bytes.len() as u64),
        artifact_type: parsed.artifact_type.clone(),
        annotations: parsed.annotations.clone(),
        other: serde_json::Map::new(),
    }
}

/// The tags by which cosign keeps what is about a manifest.
fn signature_tags(subject: &Digest) -> impl Iterator<Item = Tag> {
    let stem = format!("{}-{}", subject.algorithm().as_str(), subject.hex());
    // What is too long for a tag (of sha512) is no tag anywhere.
    let tag = move |kind| format!("{stem}.{kind}").parse().ok();
    SIGNATURE_TAGS.into_iter().filter_map(tag)
}
