//! What a rule that pulls takes of its remote now.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use super::{
    Cause, Replication, Rule,
    draft::Draft,
    plan::Problem,
    there::{Had, tags_there, unknown},
};
use crate::{
    client::{ClientError, ErrorKind, Patience, RegistryClient},
    meta::{ExecutionRow, TaskWrite},
    oci::{Name, Reference, Tag},
};

/// After so many questions it is told that the plan is still being made.
const STEP: usize = 200;
pub(super) const CLOSED: &str = "background work may not use the remote at this hour";

/// The tags that the remote has, of each repository that was looked at and has any.
pub(super) type Seen = BTreeMap<Name, BTreeSet<Tag>>;

/// Why a repository is not planned.
enum Halt {
    /// It could not be asked.
    Unasked(ClientError),
    /// Nothing is.
    Plan(Problem),
}

impl From<ClientError> for Halt {
    fn from(error: ClientError) -> Self {
        Self::Unasked(error)
    }
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Self::Plan(problem)
    }
}

/// A plan of a pull while it is made.
struct Pull<'a> {
    rule: &'a Rule,
    execution: &'a ExecutionRow,
    holder: Uuid,
    client: RegistryClient,
}

impl Replication {
    /// Everything that the rule takes and that is not here yet. A repository that cannot be asked keeps no other waiting:
    /// its task asks it again.
    pub(super) async fn draft_pull(
        &self,
        rule: &Rule,
        execution: &ExecutionRow,
        holder: Uuid,
        draft: &mut Draft,
    ) -> Result<Seen, Problem> {
        let pull = Pull {
            rule,
            execution,
            holder,
            client: self.pulled_from(pulled(rule)).map_err(Problem::Told)?,
        };
        self.keep_hours(&pull).await?;
        let mut seen = Seen::new();
        for repository in self.repositories_there(rule, &pull.client).await? {
            self.keep_hours(&pull).await?;
            match self.draft_one(&pull, &repository, draft, &mut seen).await {
                Ok(()) => {}
                Err(Halt::Unasked(error)) => {
                    self.draft_later(&pull, &repository, &error, draft).await?;
                }
                Err(Halt::Plan(problem)) => return Err(problem),
            }
        }
        Ok(seen)
    }

    async fn draft_one(
        &self,
        pull: &Pull<'_>,
        repository: &Name,
        draft: &mut Draft,
        seen: &mut Seen,
    ) -> Result<(), Halt> {
        let Pull { rule, client, .. } = pull;
        let said = format!("it is being planned: at `{repository}`");
        let go_on = || self.go_on(pull.execution.id, pull.holder, said.clone());
        go_on().await?;
        let tags = tags_there(client, repository).await?;
        let mut had = Had::default();
        for step in tags.chunks(STEP) {
            go_on().await?;
            had.ask(rule, client, repository, step).await?;
        }
        if rule.propagate_delete && !tags.is_empty() {
            seen.insert(repository.clone(), tags.into_iter().collect());
        }
        let taken = rule.filters.select(had.candidates, SystemTime::now());
        if taken.is_empty() && had.unasked.is_empty() {
            return Ok(());
        }
        let destination = self.name_here(rule, repository).map_err(Problem::Told)?;
        for one in taken {
            let reference = Reference::Tag(one.tag.clone());
            let here = self.inner.home.digest(&destination, &reference).await;
            let here = here.map_err(|error| Problem::Told(error.to_string()))?;
            if here.as_ref() == Some(&one.digest) && !pull.execution.dry_run {
                draft.same += 1;
                continue;
            }
            draft.ship(repository, &destination, one.tag, one.digest);
        }
        for (tag, error) in had.unasked {
            if pull.execution.dry_run {
                draft.lacking.push(format!(
                    "`{repository}:{tag}` could not be asked for: {error}"
                ));
            } else {
                let unknown = unknown(repository, &tag);
                draft.ship(repository, &destination, tag, unknown);
            }
        }
        Ok(())
    }

    /// If the remote itself is away, there is no plan now.
    async fn draft_later(
        &self,
        pull: &Pull<'_>,
        repository: &Name,
        error: &ClientError,
        draft: &mut Draft,
    ) -> Result<(), Problem> {
        if is_passing(error) && is_away(&pull.client).await {
            return Err(Problem::Later(error.to_string()));
        }
        if pull.execution.dry_run {
            draft
                .lacking
                .push(format!("`{repository}` could not be asked: {error}"));
            return Ok(());
        }
        let destination = self.name_here(pull.rule, repository);
        draft.unasked.push(TaskWrite {
            remote: pulled(pull.rule).to_owned(),
            repository: repository.clone(),
            destination: destination.map_err(Problem::Told)?,
            items: Vec::new(),
            delay: Duration::ZERO,
        });
        Ok(())
    }

    /// Outside of the hours of its remote nothing is asked that nobody waits for: it is planned when they begin.
    async fn keep_hours(&self, pull: &Pull<'_>) -> Result<(), Problem> {
        if waits_for_somebody(pull.execution) || self.closed_until(pulled(pull.rule)).is_none() {
            return Ok(());
        }
        let (id, holder) = (pull.execution.id, pull.holder);
        self.put_off(id, holder, CLOSED.to_owned()).await;
        Err(Problem::Lost)
    }

    /// When a remote that the background may not use now may be used again.
    pub(super) fn closed_until(&self, remote: &str) -> Option<SystemTime> {
        let client = self.inner.parts.remotes.get(remote)?;
        let (hours, now) = (client.remote().allowed_hours?, SystemTime::now());
        (!hours.contain(now)).then(|| hours.begin_after(now))
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
            let names = names.into_iter();
            return Ok(names.filter(|name| rule.takes_repository(name)).collect());
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
        match is_passing(&error) {
            true => Self::Later(message),
            false => Self::Told(message),
        }
    }
}

/// Did somebody ask for this, and waits to see it?
pub(super) fn waits_for_somebody(execution: &ExecutionRow) -> bool {
    execution.dry_run && execution.cause == Cause::Manual.as_str()
}

/// May it go better later?
pub(super) fn is_passing(error: &ClientError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::RateLimited
    )
}

/// Can nothing be asked of it now?
pub(super) async fn is_away(client: &RegistryClient) -> bool {
    client.ping().await.is_err_and(|error| is_passing(&error))
}
