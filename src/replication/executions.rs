//! Executions as somebody tells them to: begun, applied, retried and stopped. Nothing of a rule that is disabled goes on.

use std::{future::Future, sync::PoisonError};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    KnownRule, Replication, ReplicationError, Rule,
    engine::{Cause, Run, read},
    warm::NO_RULE,
};
use crate::meta::{ExecutionRow, ExecutionStatus, ExecutionWrite, MetaError, TaskStatus};

impl Replication {
    /// Begins an execution; its id. A rule that is disabled can only be tried.
    pub async fn begin(
        &self,
        known: &KnownRule,
        cause: Cause,
        run: Run,
    ) -> Result<Uuid, ReplicationError> {
        if !known.rule.enabled && run == Run::Now {
            let name = &known.rule.name;
            let message = format!(
                "rule `{name}` is disabled; enable it first, or try it with `\"dry_run\": true`"
            );
            return Err(ReplicationError::Conflict(message));
        }
        self.queue(known.id, &known.rule, cause, run).await
    }

    /// The plan of what a rule would delete, if that is so much that somebody has to apply it.
    pub async fn waiting_deletes(&self, rule: Uuid) -> Result<Option<Uuid>, ReplicationError> {
        let meta = &self.inner.parts.meta;
        let proposed = meta.execution_proposed(rule, Cause::Event.as_str());
        Ok(proposed.await?)
    }

    /// An execution, if there is one of this id.
    pub async fn execution(&self, id: Uuid) -> Result<Option<ExecutionRow>, ReplicationError> {
        Ok(self.inner.parts.meta.execution(id).await?)
    }

    /// Stops what of an execution has not ended. False: all has.
    pub async fn stop(&self, id: Uuid) -> Result<bool, ReplicationError> {
        let stopped = self.inner.parts.meta.execution_stop(id).await?;
        if let Some(running) = self.running(id) {
            running.cancel();
        }
        Ok(stopped)
    }

    /// Runs once more what failed or was stopped; how many tasks.
    pub async fn retry(&self, id: Uuid) -> Result<u64, ReplicationError> {
        let meta = &self.inner.parts.meta;
        let count = self.go_on_with(id, meta.execution_retry(id)).await?;
        if count == 0 && meta.task_counts(id).await?.of(TaskStatus::Stopped) > 0 {
            let message = "this plan was stopped before it was applied; begin another one";
            return Err(ReplicationError::Conflict(message.to_owned()));
        }
        Ok(count)
    }

    /// Lets a dry run act. False: it is not one that waits for that.
    pub async fn apply(&self, id: Uuid) -> Result<bool, ReplicationError> {
        let meta = &self.inner.parts.meta;
        self.go_on_with(id, meta.execution_apply(id)).await
    }

    /// The rule as an execution has it.
    pub fn rule_of(&self, execution: &ExecutionRow) -> Option<Rule> {
        read(&execution.members)
    }

    /// Lets an execution go on if its rule is enabled, and still is afterwards: who disables it stops what runs then.
    async fn go_on_with<T>(
        &self,
        id: Uuid,
        step: impl Future<Output = Result<T, MetaError>>,
    ) -> Result<T, ReplicationError> {
        self.check_enabled(id).await?;
        let done = step.await?;
        if let Err(refused) = self.check_enabled(id).await {
            self.stop(id).await?;
            return Err(refused);
        }
        self.inner.to_work.notify_one();
        Ok(done)
    }

    /// What is of no rule needs none.
    async fn check_enabled(&self, execution: Uuid) -> Result<(), ReplicationError> {
        let meta = &self.inner.parts.meta;
        let execution = meta.execution(execution).await?;
        let Some(id) = execution.map(|row| row.rule_id).filter(|id| *id != NO_RULE) else {
            return Ok(());
        };
        match meta.rule_by_id(id).await? {
            Some(row) if row.enabled => Ok(()),
            Some(row) => {
                let message = format!("rule `{}` is disabled; enable it first", row.name);
                Err(ReplicationError::Conflict(message))
            }
            None => {
                let message = "the rule of this execution is there no longer";
                Err(ReplicationError::Conflict(message.to_owned()))
            }
        }
    }

    /// An execution that is to be planned now.
    pub(super) fn execution_of(
        rule_id: Uuid,
        rule: &Rule,
        cause: Cause,
        run: Run,
    ) -> ExecutionWrite {
        ExecutionWrite {
            id: Uuid::now_v7(),
            rule_id,
            members: Value::Object(rule.members()).to_string(),
            cause: cause.as_str().to_owned(),
            dry_run: run == Run::Dry,
            message: String::new(),
        }
    }

    pub(super) async fn queue(
        &self,
        rule_id: Uuid,
        rule: &Rule,
        cause: Cause,
        run: Run,
    ) -> Result<Uuid, ReplicationError> {
        let execution = Self::execution_of(rule_id, rule, cause, run);
        let id = execution.id;
        self.inner.parts.meta.execution_put(execution).await?;
        self.inner.to_plan.notify_one();
        Ok(id)
    }

    /// Stops what a rule does. Its plans wait on: they do nothing.
    pub(super) async fn stop_all(&self, rule: Uuid) -> Result<(), ReplicationError> {
        let meta = &self.inner.parts.meta;
        for id in meta.executions_open(rule).await? {
            let row = meta.execution(id).await?;
            if row.is_some_and(|row| row.status != ExecutionStatus::Planned) {
                self.stop(id).await?;
            }
        }
        Ok(())
    }

    fn running(&self, execution: Uuid) -> Option<CancellationToken> {
        let running = self.inner.running.lock();
        let running = running.unwrap_or_else(PoisonError::into_inner);
        running.get(&execution).map(|running| running.stop.clone())
    }
}
