//! What a rule that pulls takes of its remote now.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::{
    Replication, Rule,
    filter::{Candidate, Resource},
    plan::{Draft, Problem},
};
use crate::{
    client::{ClientError, ErrorKind, Patience, RegistryClient},
    meta::ExecutionRow,
    oci::{Digest, Manifest, ManifestKind, Name, Reference, Tag},
    transfer::send::{RemoteSource, SendError, Source},
};

/// Questions at once.
const AT_ONCE: usize = 8;
/// After so many questions it is told that the plan is still being made.
const STEP: usize = 200;
/// No config of an image is larger.
const MAX_CONFIG_BYTES: usize = 4 << 20;

/// The tags that the remote has, of each repository that was looked at and has any.
pub(super) type Seen = BTreeMap<Name, BTreeSet<Tag>>;

/// What the filters ask of a config.
#[derive(Deserialize)]
struct Config {
    created: Option<String>,
}

impl Replication {
    /// Everything that the rule takes and that is not here yet.
    pub(super) async fn draft_pull(
        &self,
        rule: &Rule,
        execution: &ExecutionRow,
        holder: uuid::Uuid,
        draft: &mut Draft,
    ) -> Result<Seen, Problem> {
        let client = self.pulled_from(pulled(rule)).map_err(Problem::Told)?;
        let mut seen = Seen::new();
        for repository in self.repositories_there(rule, &client).await? {
            let said = format!("it is being planned: at `{repository}`");
            self.go_on(execution.id, holder, said.clone()).await?;
            let tags = tags_there(&client, &repository).await?;
            let mut candidates = Vec::new();
            for step in tags.chunks(STEP) {
                self.go_on(execution.id, holder, said.clone()).await?;
                candidates.extend(candidates_there(rule, &client, &repository, step).await?);
            }
            if rule.propagate_delete && !tags.is_empty() {
                seen.insert(repository.clone(), tags.into_iter().collect());
            }
            let taken = rule.filters.select(candidates, SystemTime::now());
            if taken.is_empty() {
                continue;
            }
            let destination = self.name_here(rule, &repository).map_err(Problem::Told)?;
            for one in taken {
                let reference = Reference::Tag(one.tag.clone());
                let here = self.inner.home.digest(&destination, &reference).await;
                let here = here.map_err(|error| Problem::Told(error.to_string()))?;
                if here.as_ref() == Some(&one.digest) && !execution.dry_run {
                    draft.same += 1;
                    continue;
                }
                draft.ship(&repository, &destination, one.tag, one.digest);
            }
        }
        Ok(seen)
    }

    /// The tags that the rule takes of a repository of its remote.
    pub(super) async fn taken_there(
        &self,
        rule: &Rule,
        client: &RegistryClient,
        repository: &Name,
    ) -> Result<Vec<Candidate>, ClientError> {
        let tags = tags_there(client, repository).await?;
        let candidates = candidates_there(rule, client, repository, &tags).await?;
        Ok(rule.filters.select(candidates, SystemTime::now()))
    }

    /// The remote of this name, to pull from; or what to say.
    pub(super) fn pulled_from(&self, name: &str) -> Result<RegistryClient, String> {
        let client = self.inner.parts.remotes.get(name);
        let client = client.ok_or_else(|| format!("there is no remote `{name}`"))?;
        Ok(client.background())
    }

    /// The repositories there that the rule takes something of: those that it names, or else what the remote lists.
    pub(super) async fn repositories_there(
        &self,
        rule: &Rule,
        client: &RegistryClient,
    ) -> Result<BTreeSet<Name>, Problem> {
        if let Some(names) = rule.literal_repositories() {
            return Ok(names.into_iter().collect());
        }
        let listed = client.catalog(Patience::Full).await.map_err(|error| {
            match error.into() {
                Problem::Told(message) => Problem::Told(format!(
                    "{message}; a remote that does not list its repositories needs a filter of type `name` without patterns, such as `{{app,db}}`"
                )),
                other => other,
            }
        })?;
        let taken = listed
            .into_iter()
            .filter(|name| rule.takes_repository(name));
        Ok(taken.collect())
    }

    /// What a repository of the remote is called here.
    pub(super) fn name_here(&self, rule: &Rule, repository: &Name) -> Result<Name, String> {
        let told = |error: &dyn std::fmt::Display| format!("`{repository}`: {error}");
        let projects = self.inner.parts.projects.now();
        let project = rule.naming.project.as_ref();
        // A mirror has its names from its remote.
        if let Some(project) = project
            && projects.is_mirror(project.as_str())
        {
            let name = format!("{project}/{repository}");
            return name.parse().map_err(|error| told(&error));
        }
        rule.naming.name(repository).map_err(|error| told(&error))
    }
}

/// The one remote of a rule that pulls.
pub(super) fn pulled(rule: &Rule) -> &str {
    rule.remotes.first().map_or("", String::as_str)
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error.kind {
            ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::RateLimited => {
                Self::Later(message)
            }
            ErrorKind::NotFound
            | ErrorKind::Denied
            | ErrorKind::Credentials
            | ErrorKind::Invalid => Self::Told(message),
        }
    }
}

/// All tags of a repository there; one that is not there has none.
async fn tags_there(client: &RegistryClient, repository: &Name) -> Result<Vec<Tag>, ClientError> {
    match client.tag_list(repository, Patience::Full).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
        answer => answer,
    }
}

/// What the filters ask of these tags.
async fn candidates_there(
    rule: &Rule,
    client: &RegistryClient,
    repository: &Name,
    tags: &[Tag],
) -> Result<Vec<Candidate>, ClientError> {
    let wanted = tags.iter().filter(|tag| rule.filters.take_tag(tag));
    let wanted: Vec<_> = wanted
        .map(|tag| candidate(rule, client, repository, tag.clone()))
        .collect();
    let found: Vec<_> = stream::iter(wanted).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
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
