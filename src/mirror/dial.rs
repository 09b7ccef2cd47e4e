//! Whether a repository's remote may be asked at all, and what is said when it may not.

use tokio::time::timeout;

use super::{Mirror, MirrorError, Repository, absent::Thing, listed::ListKey};
use crate::{
    client::{Presence, RateBudget, RegistryClient},
    config::ProjectKind,
    oci::Reference,
};

impl Mirror {
    /// The client of the repository's remote; none when it must not be dialed.
    pub(super) fn client(&self, repository: &Repository) -> Option<RegistryClient> {
        if self.inner.offline || repository.project.offline {
            return None;
        }
        let client = match &repository.project.kind {
            ProjectKind::Mirror { remote } => self.inner.remotes.get(remote),
            ProjectKind::Hosted => None,
        }?;
        match &repository.visitor {
            Some(visitor) if client.is_anonymous() => {
                Some(self.inner.verdicts.client(&client, visitor))
            }
            _ => Some(client),
        }
    }

    /// As `client`, for what is not here.
    ///
    /// # Errors
    /// `Unavailable`, with a message that says offline, and whether a part of an image is wanted that was never pulled.
    pub(super) async fn client_for(
        &self,
        repository: &Repository,
        thing: &Thing,
    ) -> Result<RegistryClient, MirrorError> {
        if let Some(client) = self.client(repository) {
            return Ok(client);
        }
        let lack = if self.is_named(thing).await? {
            "was never pulled"
        } else {
            "is not here"
        };
        let who = if self.inner.offline {
            "this server".to_owned()
        } else {
            format!("project `{}`", repository.project.name)
        };
        Err(MirrorError::Unavailable {
            message: format!("{thing} {lack}, and {who} is offline"),
            retry_after: None,
        })
    }

    /// Does a manifest that is here name it as a part?
    async fn is_named(&self, thing: &Thing) -> Result<bool, MirrorError> {
        let meta = &self.inner.meta;
        Ok(match thing {
            Thing::Manifest(name, Reference::Digest(digest)) => {
                meta.manifest_referenced(name, digest).await?.is_some()
            }
            Thing::Blob(name, digest) => meta.blob_referenced(name, digest).await?.is_some(),
            Thing::Manifest(_, Reference::Tag(_)) | Thing::List(_) => false,
        })
    }
}

/// Is so little left of the remote's rate limit that what is here is served in place of asking?
pub(super) fn is_scarce(client: &RegistryClient) -> bool {
    match client.budget() {
        RateBudget::Plenty => false,
        RateBudget::Low | RateBudget::Gone { .. } => true,
    }
}

/// What is asked, for who has something else to serve: waited for `answer_timeout` at most, and not at all while a question
/// before it waits for longer, or nobody is there. `asked` must go on when it is dropped; `behind` begins what is to happen
/// then, unless nobody is there.
pub(super) async fn in_time<T>(
    client: &RegistryClient,
    asked: impl Future<Output = Result<T, MirrorError>>,
    behind: impl FnOnce(),
) -> Result<T, MirrorError> {
    let name = &client.remote().name;
    match client.presence() {
        Presence::There => {}
        Presence::Late => {
            behind();
            let message = format!("remote {name} leaves questions without an answer");
            return Err(MirrorError::TimedOut { message });
        }
        Presence::Gone => {
            return Err(MirrorError::Unavailable {
                message: format!("remote {name} is passed over until it answers again"),
                retry_after: None,
            });
        }
    }
    let Ok(answer) = timeout(client.remote().answer_timeout, asked).await else {
        behind();
        let message = format!("remote {name} did not answer in time");
        return Err(MirrorError::TimedOut { message });
    };
    answer
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Manifest(name, Reference::Tag(tag)) => write!(f, "tag `{tag}` of `{name}`"),
            Self::Manifest(name, Reference::Digest(digest)) => {
                write!(f, "manifest {digest} of `{name}`")
            }
            Self::Blob(name, digest) => write!(f, "blob {digest} of `{name}`"),
            Self::List(ListKey::Tags(name)) => write!(f, "the list of tags of `{name}`"),
            Self::List(ListKey::Referrers(name, subject)) => {
                write!(f, "the list of referrers of {subject} in `{name}`")
            }
        }
    }
}
