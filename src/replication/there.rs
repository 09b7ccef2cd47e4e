//! What a repository of a remote has for a rule that pulls, by asking it.

use std::{collections::BTreeSet, pin::pin, time::SystemTime};

use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::{
    Rule,
    filter::{Candidate, Resource},
};
use crate::{
    client::{ClientError, ErrorKind, Patience, RegistryClient},
    meta::{Action, TaskItem},
    oci::{Digest, Manifest, ManifestKind, Name, Reference, Tag},
    transfer::send::{RemoteSource, SendError, Source},
};

/// Questions at once.
const AT_ONCE: usize = 8;
/// Tags of a repository that cannot be asked for: with one more all of it waits.
const MOST_UNASKED: usize = 8;
/// No config of an image is larger.
const MAX_CONFIG_BYTES: usize = 4 << 20;

/// What a repository has for a rule, as far as it could be asked.
#[derive(Default)]
pub(super) struct Had {
    pub(super) candidates: Vec<Candidate>,
    /// Could not be asked for, and why.
    pub(super) unasked: Vec<(Tag, ClientError)>,
}

/// What the filters ask of a config.
#[derive(Deserialize)]
struct Config {
    created: Option<String>,
}

/// All tags of a repository there; one that is not there has none.
pub(super) async fn tags_there(
    client: &RegistryClient,
    repository: &Name,
) -> Result<Vec<Tag>, ClientError> {
    match client.tag_list(repository, Patience::Full).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
        answer => answer,
    }
}

/// The tags that the rule takes of a repository, and all that there are.
pub(super) async fn taken_there(
    rule: &Rule,
    client: &RegistryClient,
    repository: &Name,
) -> Result<(Vec<Candidate>, BTreeSet<Tag>), ClientError> {
    let tags = tags_there(client, repository).await?;
    let mut had = Had::default();
    had.ask(rule, client, repository, &tags).await?;
    if let Some((_, error)) = had.unasked.into_iter().next() {
        return Err(error);
    }
    let taken = rule.filters.select(had.candidates, SystemTime::now());
    Ok((taken, tags.into_iter().collect()))
}

/// What a task does whose repository could not be asked when it was planned; what still cannot be asked for comes last.
pub(super) async fn items_there(
    rule: &Rule,
    client: &RegistryClient,
    repository: &Name,
) -> Result<Vec<TaskItem>, ClientError> {
    let tags = tags_there(client, repository).await?;
    let mut had = Had::default();
    had.ask(rule, client, repository, &tags).await?;
    let taken = rule.filters.select(had.candidates, SystemTime::now());
    let taken = taken.into_iter().map(|one| (one.tag, one.digest));
    let unasked = had.unasked.into_iter().map(|(tag, _)| {
        let unknown = unknown(repository, &tag);
        (tag, unknown)
    });
    let item = |(tag, digest)| TaskItem {
        tag,
        digest,
        action: Action::Copy,
        bytes: None,
        message: None,
    };
    Ok(taken.chain(unasked).map(item).collect())
}

/// Stands for the digest of a tag that could not be asked for, and is when its task runs.
pub(super) fn unknown(repository: &Name, tag: &Tag) -> Digest {
    Digest::sha256(format!("{repository}:{tag}").as_bytes())
}

impl Had {
    /// What the filters ask of these tags. One that cannot be asked for matters to itself alone, unless a filter looks
    /// into it: then it may decide about the others.
    pub(super) async fn ask(
        &mut self,
        rule: &Rule,
        client: &RegistryClient,
        repository: &Name,
        tags: &[Tag],
    ) -> Result<(), ClientError> {
        let wanted = tags.iter().filter(|tag| rule.filters.take_tag(tag));
        let wanted: Vec<_> = wanted
            .map(|tag| async move {
                let found = candidate(rule, client, repository, tag.clone()).await;
                (tag, found)
            })
            .collect();
        let mut asked = pin!(stream::iter(wanted).buffered(AT_ONCE));
        while let Some((tag, found)) = asked.next().await {
            match found {
                Ok(found) => self.candidates.extend(found),
                Err(error) if rule.filters.look_inside() => return Err(error),
                Err(error) if self.unasked.len() == MOST_UNASKED => return Err(error),
                Err(error) => self.unasked.push((tag.clone(), error)),
            }
        }
        Ok(())
    }
}

/// `None`: the tag is gone already.
async fn candidate(
    rule: &Rule,
    client: &RegistryClient,
    repository: &Name,
    tag: Tag,
) -> Result<Option<Candidate>, ClientError> {
    let reference = Reference::Tag(tag.clone());
    let mut candidate = Candidate {
        tag,
        digest: Digest::sha256(b""),
        resource: Resource::Image,
        labels: BTreeSet::new(),
        created_at: SystemTime::now(),
    };
    if !rule.filters.look_inside() {
        let head = client.manifest_head(repository, &reference, Patience::Full);
        match head.await {
            Ok(head) => {
                if let Some(digest) = head.digest {
                    candidate.digest = digest;
                    return Ok(Some(candidate));
                }
            }
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind == ErrorKind::Invalid => {}
            Err(error) => return Err(error),
        }
    }
    let get = client.manifest_get(repository, &reference, Patience::Full);
    let manifest = match get.await {
        Ok(manifest) => manifest,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let parsed = Manifest::parse(&manifest.bytes);
    let kind = ManifestKind::of(&manifest.media_type);
    candidate.resource = Resource::told(kind, parsed.artifact_type.as_deref());
    candidate.digest = manifest.digest;
    if rule.filters.ask_age()
        && let Some(created_at) = created_at(client, repository, parsed).await
    {
        candidate.created_at = created_at;
    }
    Ok(Some(candidate))
}

/// When an image was made, by its config; of an index by the first of its images. `None`: nothing tells.
async fn created_at(
    client: &RegistryClient,
    repository: &Name,
    manifest: Manifest,
) -> Option<SystemTime> {
    let source = RemoteSource::of(client.clone());
    let manifest = match manifest.manifests.first() {
        Some(child) => {
            let reference = Reference::Digest(child.digest.clone());
            let child = source.manifest(repository, &reference).await.ok()?;
            Manifest::parse(&child.bytes)
        }
        None => manifest,
    };
    // The config comes first.
    let config = manifest.blobs.first()?;
    let bytes = small(&*source, repository, &config.digest).await.ok()??;
    let config: Config = serde_json::from_slice(&bytes).ok()?;
    humantime::parse_rfc3339(&config.created?).ok()
}

/// The bytes of a small blob; `None`: it is not small.
async fn small(
    source: &dyn Source,
    repository: &Name,
    digest: &Digest,
) -> Result<Option<Vec<u8>>, SendError> {
    let mut body = source.blob(repository, digest, 0).await?.body;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > MAX_CONFIG_BYTES {
            return Ok(None);
        }
    }
    Ok((Digest::sha256(&bytes) == *digest).then_some(bytes))
}
