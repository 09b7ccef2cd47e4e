//! What a remote is used for here: by that it is told which rights its login needs.

use super::{Api, problem::Problem};
use crate::{oci::Name, replication::Mode};

/// What rules and mirrors do with a remote.
#[derive(Debug, Default)]
pub(super) struct Use {
    /// One of the repositories there that they use.
    pub(super) repository: Option<Name>,
    pub(super) pushes: bool,
    pub(super) deletes: bool,
}

pub(super) async fn find(api: &Api, remote: &str) -> Result<Use, Problem> {
    let mut found = Use::default();
    for known in api.parts.replication.rules().await? {
        let rule = &known.rule;
        if !rule.remotes.iter().any(|used| used == remote) {
            continue;
        }
        let pushes = rule.mode == Mode::Push;
        found.pushes |= pushes;
        found.deletes |= pushes && rule.propagate_delete;
        if found.repository.is_none() {
            let meta = &api.parts.meta;
            let row = meta.deliveries(known.id, remote, None, 1).await?.pop();
            found.repository = row.map(|row| match rule.mode {
                Mode::Push => row.destination,
                Mode::Pull => row.repository,
            });
        }
    }
    if found.repository.is_none() {
        found.repository = mirrored(api, remote).await?;
    }
    Ok(found)
}

/// A repository there of which something is here.
async fn mirrored(api: &Api, remote: &str) -> Result<Option<Name>, Problem> {
    let projects = api.parts.settings.users_of_remote(remote);
    let names = api.parts.meta.repositories(&projects, None, 1).await?;
    let there = names.first().and_then(|name| {
        let (project, rest) = name.as_str().split_once('/')?;
        let projects = api.parts.projects.now();
        match &projects.get(project)?.prefix {
            Some(prefix) => format!("{prefix}/{rest}").parse().ok(),
            None => rest.parse().ok(),
        }
    });
    Ok(there)
}
