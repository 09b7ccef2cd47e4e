//! How much a project may take: the quota of a hosted one; for what is pushed into a mirror the budgets, because what was
//! pushed there and what is pinned never goes to make room.
//!
//! What a project has is a sum over rows that was true a moment ago, and what this process added since: never less than
//! the truth, except for what other replicas pushed within [`TRUST`]. It is summed anew before anything is refused, but
//! not for every refusal.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{PushError, Repository};
use crate::{
    access::Projects,
    config::Project,
    meta::Meta,
    oci::{Digest, Name},
};

/// How long a sum is good for.
const TRUST: Duration = Duration::from_mins(1);
/// A sum that is younger is not made again for a refusal.
const AGAIN: Duration = Duration::from_secs(2);

pub(super) struct Allowances {
    meta: Meta,
    projects: Projects,
    /// `storage.max_bytes`
    max_bytes: Option<u64>,
    /// Locked while rows are summed: the others want the same sum.
    sums: Mutex<HashMap<Scope, Sum>>,
}

/// Of what something is summed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    /// All that a hosted project has.
    Hosted(String),
    /// What a mirror has and never evicts.
    Kept(String),
    /// What all mirrors have and never evict.
    AllKept,
}

struct Sum {
    bytes: u64,
    measured: Instant,
}

/// A limit and what it is of.
struct Limit {
    scope: Scope,
    bytes: u64,
}

impl Allowances {
    pub(super) fn new(meta: Meta, projects: Projects, max_bytes: Option<u64>) -> Self {
        Self {
            meta,
            projects,
            max_bytes,
            sums: Mutex::default(),
        }
    }

    /// May a blob of at least this size be pushed there? Nothing is set aside. Of one whose digest is not known yet, and
    /// which may be there already, only whether it could ever be.
    pub(super) async fn check(
        &self,
        repository: &Repository,
        digest: Option<&Digest>,
        bytes: u64,
    ) -> Result<(), PushError> {
        let project = &repository.project;
        match digest {
            Some(digest) if self.costs_nothing(repository, digest).await? => Ok(()),
            Some(_) => self.admit(project, bytes, 0).await,
            None => match self.limits(project).into_iter().find(|l| bytes > l.bytes) {
                Some(limit) => Err(refusal(project, &limit, 0, bytes)),
                None => Ok(()),
            },
        }
    }

    /// Counts a blob or manifest that is about to get its rows there, unless the project has it already.
    pub(super) async fn take(
        &self,
        repository: &Repository,
        digest: &Digest,
        bytes: u64,
    ) -> Result<(), PushError> {
        if self.costs_nothing(repository, digest).await? {
            return Ok(());
        }
        self.admit(&repository.project, bytes, bytes).await
    }

    /// Nothing limits the project, or it has this already. (What a mirror has may be cached, and go.)
    async fn costs_nothing(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, PushError> {
        let project = &repository.project;
        if self.limits(project).is_empty() {
            return Ok(true);
        }
        let is_it = |name: &Name| name.first() == project.name;
        Ok(!repository.is_seeded() && self.meta.blob_is_in(digest, is_it).await?)
    }

    async fn admit(&self, project: &Project, wanted: u64, taken: u64) -> Result<(), PushError> {
        let limits = self.limits(project);
        if limits.is_empty() {
            return Ok(());
        }
        let mut sums = self.sums.lock().await;
        for limit in &limits {
            let mut used = self.used(&mut sums, &limit.scope, TRUST).await?;
            if used.saturating_add(wanted) > limit.bytes {
                used = self.used(&mut sums, &limit.scope, AGAIN).await?;
            }
            if used.saturating_add(wanted) > limit.bytes {
                return Err(refusal(project, limit, used, wanted));
            }
        }
        for limit in &limits {
            if let Some(sum) = sums.get_mut(&limit.scope) {
                sum.bytes = sum.bytes.saturating_add(taken);
            }
        }
        Ok(())
    }

    fn limits(&self, project: &Project) -> Vec<Limit> {
        let limit = |scope, bytes: Option<u64>| bytes.map(|bytes| Limit { scope, bytes });
        let name = project.name.clone();
        if project.is_mirror() {
            let own = limit(Scope::Kept(name), project.max_bytes);
            let all = limit(Scope::AllKept, self.max_bytes);
            own.into_iter().chain(all).collect()
        } else {
            limit(Scope::Hosted(name), project.quota)
                .into_iter()
                .collect()
        }
    }

    /// Bytes in use, from a sum that is no older than that.
    async fn used(
        &self,
        sums: &mut HashMap<Scope, Sum>,
        scope: &Scope,
        age: Duration,
    ) -> Result<u64, PushError> {
        if let Some(sum) = sums.get(scope)
            && sum.measured.elapsed() < age
        {
            return Ok(sum.bytes);
        }
        let measured = Instant::now();
        let bytes = match scope {
            Scope::Hosted(project) => self.meta.usage_of(&[project]).await?,
            Scope::Kept(project) => self.meta.usage_kept(&[project]).await?,
            Scope::AllKept => {
                let projects = self.projects.now();
                let mirrors = projects.iter().filter(|project| project.is_mirror());
                let mirrors: Vec<_> = mirrors.map(|project| project.name.as_str()).collect();
                self.meta.usage_kept(&mirrors).await?
            }
        };
        sums.insert(scope.clone(), Sum { bytes, measured });
        Ok(bytes)
    }
}

fn refusal(project: &Project, limit: &Limit, used: u64, wanted: u64) -> PushError {
    tracing::warn!(project = %project.name, used, wanted, limit = limit.bytes, "a push is refused: it is over the limit");
    let project = project.name.clone();
    match limit.scope {
        Scope::Hosted(_) => PushError::QuotaExceeded {
            project,
            quota: limit.bytes,
            used,
            wanted,
        },
        Scope::Kept(_) | Scope::AllKept => PushError::BudgetExceeded {
            project,
            budget: limit.bytes,
            kept: used,
            wanted,
        },
    }
}
