//! Projects with `visibility = "remote"`: content is here for whom the project's remote lets in, and nobody else. The remote
//! is asked with the visitor's own credential, for what the visitor asks us.
//!
//! - A yes is for the credential and the whole repository, for `verdict_ttl`; in an outage, for `verdict_if_error`.
//! - A no (401, 403, a login that the remote's token server refuses) is remembered for `verdict_ttl` too.
//! - A 404 says nothing of the repository: it is for the thing that was asked, for `negative_ttl`.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use moka::future::Cache;
use tokio::time::Instant;

use super::{
    Mirror, MirrorError, Repository,
    absent::Thing,
    dial::in_time,
    flight::{Flights, Gate},
    listed::ListKey,
};
use crate::{
    access::Visitor,
    client::{ClientError, ErrorKind, Patience, RegistryClient},
    oci::{Digest, Name, Reference},
};

const REMEMBERED: u64 = 50_000;
/// Clients that go with a credential; connections are the remote's and shared.
const CLIENTS: u64 = 1_000;
const CLIENTS_IDLE: Duration = Duration::from_mins(10);

/// [`Visitor::key`]
type Credential = [u8; 32];

/// What a visitor asks for.
#[derive(Debug, Clone)]
pub enum Visited {
    Manifest(Reference),
    Blob(Digest),
    /// The list of tags.
    Tags,
}

/// Why a visitor is not let in.
#[derive(Debug, Clone)]
pub enum NoEntry {
    /// Asked just now, the remote does not know the credential, or the credential opens nothing here.
    Refused(MirrorError),
    /// The remote said so before, or what was asked for is not there, or the remote cannot be asked.
    Other(MirrorError),
}

/// What a remote said. An outage is an error of the flight.
#[derive(Debug, Clone)]
enum Verdict {
    Yes,
    No(MirrorError),
    NotThere(MirrorError),
}

#[derive(Debug, Clone)]
struct Known {
    verdict: Verdict,
    at: Instant,
}

/// What remotes said of visitors.
pub(super) struct Verdicts {
    /// Yes and no.
    repositories: Cache<(Credential, Name), Known>,
    /// What is not there.
    things: Cache<(Credential, Thing), Known>,
    clients: moka::sync::Cache<(String, Credential), RegistryClient>,
    questions: Flights<(Credential, Thing), Verdict>,
}

impl Verdicts {
    pub(super) fn new(gate: &Gate, tasks: &tokio_util::task::TaskTracker) -> Self {
        Self {
            repositories: Cache::new(REMEMBERED),
            things: Cache::new(REMEMBERED),
            clients: moka::sync::Cache::builder()
                .max_capacity(CLIENTS)
                .time_to_idle(CLIENTS_IDLE)
                .build(),
            questions: Flights::new(gate, tasks),
        }
    }

    /// The client of a remote, gone with a visitor's credential.
    pub(super) fn client(&self, own: &RegistryClient, visitor: &Visitor) -> RegistryClient {
        let key = (own.remote().name.clone(), visitor.key);
        // The remote may have been changed since.
        let kept = self.clients.get(&key);
        if let Some(kept) = kept.filter(|kept| kept.is_of_same_remote(own)) {
            return kept;
        }
        let client = own.with_login(&visitor.username, visitor.password.expose());
        self.clients.insert(key, client.clone());
        client
    }
}

impl Mirror {
    /// The repository as this visitor may see it: content that is not here is fetched with the visitor's credential, if the
    /// remote has none of our own.
    pub async fn let_in(
        &self,
        visitor: &Arc<Visitor>,
        repository: Repository,
        asked: &Visited,
    ) -> Result<Repository, NoEntry> {
        let thing = thing(&repository, asked);
        let known = self.known(visitor, &repository, &thing).await;
        let verdict = match known {
            Some(Verdict::No(why)) => return Err(NoEntry::Other(why)),
            Some(verdict) => Ok(verdict),
            None => {
                self.ask_for_visitor(visitor, &repository, &thing, asked)
                    .await
            }
        };
        match verdict {
            Ok(Verdict::Yes) => Ok(repository.visited_by(visitor)),
            Ok(Verdict::No(why)) => Err(NoEntry::Refused(why)),
            Ok(Verdict::NotThere(why)) => Err(NoEntry::Other(why)),
            Err(outage) if self.may_outlast(visitor, &repository).await => {
                tracing::warn!(repository = %repository.name, %outage, "an earlier verdict counts: its remote cannot be asked");
                Ok(repository.visited_by(visitor))
            }
            Err(outage) => Err(NoEntry::Other(outage)),
        }
    }

    /// What was said lately enough.
    async fn known(
        &self,
        visitor: &Visitor,
        repository: &Repository,
        thing: &Thing,
    ) -> Option<Verdict> {
        let verdicts = &self.inner.verdicts;
        let project = &repository.project;
        let key = (visitor.key, repository.name.clone());
        let of_repository = verdicts.repositories.get(&key).await;
        if let Some(known) = of_repository.filter(|known| known.at.elapsed() < project.verdict_ttl)
        {
            return Some(known.verdict);
        }
        let of_thing = verdicts.things.get(&(visitor.key, thing.clone())).await;
        let of_thing = of_thing.filter(|known| known.at.elapsed() < project.negative_ttl);
        of_thing.map(|known| known.verdict)
    }

    /// Was there a yes that still counts while the remote is down?
    async fn may_outlast(&self, visitor: &Visitor, repository: &Repository) -> bool {
        let key = (visitor.key, repository.name.clone());
        let known = self.inner.verdicts.repositories.get(&key).await;
        known.is_some_and(|known| {
            matches!(known.verdict, Verdict::Yes)
                && known.at.elapsed() < repository.project.verdict_if_error
        })
    }

    async fn ask_for_visitor(
        &self,
        visitor: &Arc<Visitor>,
        repository: &Repository,
        thing: &Thing,
        asked: &Visited,
    ) -> Result<Verdict, MirrorError> {
        let own = self.client_for(repository, thing).await?;
        let may_outlast = self.may_outlast(visitor, repository).await;
        let patience = match may_outlast {
            true => Patience::Short,
            false => Patience::Full,
        };
        let remote = own.clone();
        let (mirror, asked, thing) = (self.clone(), asked.clone(), thing.clone());
        let (visitor, repository) = (Arc::clone(visitor), repository.clone());
        let key = (visitor.key, thing.clone());
        let ask = async move {
            let client = mirror.inner.verdicts.client(&own, &visitor);
            let name = &repository.remote_name;
            let verdict = match ask(&client, name, &asked, patience).await {
                Ok(()) => Verdict::Yes,
                Err(error) => verdict_of(error)?,
            };
            mirror
                .remember(&visitor, &repository, thing, &verdict)
                .await;
            Ok(verdict)
        };
        let questions = &self.inner.verdicts.questions;
        let verdict = questions
            .run(key, ask.boxed())
            .map(|(verdict, _seat)| verdict);
        if may_outlast {
            in_time(&remote, verdict, || {}).await
        } else {
            verdict.await
        }
    }

    async fn remember(
        &self,
        visitor: &Visitor,
        repository: &Repository,
        thing: Thing,
        verdict: &Verdict,
    ) {
        let verdicts = &self.inner.verdicts;
        let known = Known {
            verdict: verdict.clone(),
            at: Instant::now(),
        };
        if matches!(verdict, Verdict::NotThere(_)) {
            verdicts.things.insert((visitor.key, thing), known).await;
        } else {
            let key = (visitor.key, repository.name.clone());
            verdicts.repositories.insert(key, known).await;
        }
    }
}

async fn ask(
    client: &RegistryClient,
    name: &Name,
    asked: &Visited,
    patience: Patience,
) -> Result<(), ClientError> {
    match asked {
        Visited::Manifest(reference) => {
            let head = client.manifest_head(name, reference, patience).await;
            head.map(|_| ())
        }
        Visited::Blob(digest) => client.blob_head(name, digest, patience).await.map(|_| ()),
        Visited::Tags => client.tag_list(name, patience).await.map(|_| ()),
    }
}

/// # Errors
/// An outage, which says nothing of the visitor.
fn verdict_of(error: ClientError) -> Result<Verdict, MirrorError> {
    match error.kind {
        // The login is the visitor's, not ours: who refuses it refuses the visitor.
        ErrorKind::Denied | ErrorKind::Credentials => {
            Ok(Verdict::No(MirrorError::Refused(format!("remote {error}"))))
        }
        ErrorKind::NotFound => Ok(Verdict::NotThere(error.into())),
        _ => Err(error.into()),
    }
}

fn thing(repository: &Repository, asked: &Visited) -> Thing {
    let name = repository.name.clone();
    match asked {
        Visited::Manifest(reference) => Thing::Manifest(name, reference.clone()),
        Visited::Blob(digest) => Thing::Blob(name, digest.clone()),
        Visited::Tags => Thing::List(ListKey::Tags(name)),
    }
}
