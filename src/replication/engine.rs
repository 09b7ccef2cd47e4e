//! The handle: rules that are made, changed and taken away, and what they are told to do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{ReplicationError, Rule, Trigger, compare::Agreed};
use crate::{
    access::{Accounts, Projects},
    client::Remotes,
    meta::{ExecutionStatus, Meta, RuleRow, RuleWrite},
    transfer::send::{Destination, Home},
};

/// However short events are gathered.
const SHORTEST_DELAY: Duration = Duration::from_millis(50);

/// What [`Replication`] is made of.
pub struct Parts {
    pub meta: Meta,
    pub projects: Projects,
    /// Who made which rule, and what they may now.
    pub accounts: Accounts,
    pub remotes: Remotes,
    /// Our own repositories, as what rules pull into.
    pub home: Arc<dyn Home>,
    /// How long events are gathered.
    pub event_delay: Duration,
    /// How often event rules go through everything.
    pub reconcile: Duration,
}

/// Rules and what they do; cheap to clone.
#[derive(Clone)]
pub struct Replication {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) parts: Parts,
    pub(super) home: Destination,
    /// Something is to be planned.
    pub(super) to_plan: Arc<Notify>,
    /// A task may be due.
    pub(super) to_work: Arc<Notify>,
    /// What runs here, by its execution, so that a stop acts at once.
    pub(super) running: Mutex<HashMap<Uuid, Running>>,
    /// What of rules was right at their remotes when it was last asked for.
    pub(super) agreed: Agreed,
}

/// The tasks of an execution that run here.
#[derive(Default)]
pub(super) struct Running {
    pub(super) stop: CancellationToken,
    pub(super) tasks: usize,
}

/// A rule, and what its row says.
#[derive(Debug, Clone)]
pub struct KnownRule {
    pub id: Uuid,
    pub rule: Rule,
    pub owner: String,
    pub created_at: SystemTime,
    pub changed_at: SystemTime,
}

/// Why an execution is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Manual,
    Cron,
    Event,
}

/// What an execution is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    Now,
    /// Only its plan is made.
    Dry,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Cron => "cron",
            Self::Event => "event",
        }
    }
}

impl KnownRule {
    pub(super) fn of(row: RuleRow) -> Result<Self, ReplicationError> {
        let rule = read(&row.members).ok_or_else(|| ReplicationError::Corrupt(row.name.clone()))?;
        Ok(Self {
            id: row.id,
            rule,
            owner: row.owner,
            created_at: row.created_at,
            changed_at: row.changed_at,
        })
    }
}

/// A rule from a row.
pub(super) fn read(members: &str) -> Option<Rule> {
    let members = serde_json::from_str(members).ok()?;
    Rule::read(members).ok()
}

impl Replication {
    pub fn new(parts: Parts) -> Self {
        let inner = Inner {
            home: Destination::home(Arc::clone(&parts.home)),
            parts,
            to_plan: Arc::default(),
            to_work: Arc::default(),
            running: Mutex::default(),
            agreed: Agreed::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Lets everything go that this process was at when it last ended. Only where nobody else uses the database.
    pub async fn recover(&self) {
        if let Err(error) = self.inner.parts.meta.work_left().await {
            warn!(%error, "what was under way goes on a little later: {error}");
        }
    }

    /// Lets rules act on events and on their time, until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let delay = self.event_delay();
        let turn = async || {
            if let Err(error) = self.look_once().await {
                warn!(%error, "rules cannot look for what is to be done: {error}");
            }
            sleep(delay).await;
        };
        while shutdown.run_until_cancelled(turn()).await.is_some() {}
    }

    /// How long events are gathered, and how often it is looked whether something is to be planned.
    pub fn event_delay(&self) -> Duration {
        self.inner.parts.event_delay.max(SHORTEST_DELAY)
    }

    /// Notified when something is to be planned.
    pub fn plan_waker(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.to_plan)
    }

    /// Notified when a task may be due.
    pub fn work_waker(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.to_work)
    }

    /// All rules, by name.
    pub async fn rules(&self) -> Result<Vec<KnownRule>, ReplicationError> {
        let rows = self.inner.parts.meta.rules().await?;
        rows.into_iter().map(KnownRule::of).collect()
    }

    /// The rule of this name, if there is one.
    pub async fn rule(&self, name: &str) -> Result<Option<KnownRule>, ReplicationError> {
        let row = self.inner.parts.meta.rule(name).await?;
        row.map(KnownRule::of).transpose()
    }

    /// The rule that an execution is of, while it is there.
    pub async fn rule_by_id(&self, id: Uuid) -> Result<Option<KnownRule>, ReplicationError> {
        let row = self.inner.parts.meta.rule_by_id(id).await?;
        row.map(KnownRule::of).transpose()
    }

    /// Names of the rules that use a remote.
    pub async fn users_of_remote(&self, remote: &str) -> Result<Vec<String>, ReplicationError> {
        let rules = self.rules().await?.into_iter().map(|known| known.rule);
        let users = rules.filter(|rule| rule.remotes.iter().any(|used| used == remote));
        Ok(users.map(|rule| rule.name).collect())
    }

    /// Makes a rule. One for events that is enabled begins with an execution of all that matches, whose id is given.
    pub async fn create(&self, rule: &Rule, owner: &str) -> Result<Option<Uuid>, ReplicationError> {
        let write = self.write(Uuid::now_v7(), rule, owner);
        let id = write.id;
        if !self.inner.parts.meta.rule_insert(write).await? {
            return Err(already_there(&rule.name));
        }
        self.begun(id, rule).await
    }

    /// Changes a rule, also its name; its history follows. As in [`create`](Self::create) when it becomes enabled; what
    /// runs is stopped when it becomes disabled.
    pub async fn replace(
        &self,
        known: &KnownRule,
        rule: &Rule,
    ) -> Result<Option<Uuid>, ReplicationError> {
        let write = self.write(known.id, rule, &known.owner);
        if !self.inner.parts.meta.rule_replace(write).await? {
            return Err(already_there(&rule.name));
        }
        match (known.rule.enabled, rule.enabled) {
            (true, false) => self.stop_all(known.id).await.map(|()| None),
            (true, true) if known.rule.trigger.is_event() => Ok(None),
            _ => self.begun(known.id, rule).await,
        }
    }

    /// Disables a rule, stops what runs and takes it away. Without `stop` only if nothing runs.
    pub async fn delete(&self, known: &KnownRule, stop: StopFirst) -> Result<(), ReplicationError> {
        let meta = &self.inner.parts.meta;
        if known.rule.enabled {
            let disabled = Rule {
                enabled: false,
                ..known.rule.clone()
            };
            let write = self.write(known.id, &disabled, &known.owner);
            meta.rule_replace(write).await?;
        }
        let open = meta.executions_open(known.id).await?;
        let mut running = Vec::new();
        for id in &open {
            let execution = meta.execution(*id).await?;
            let is_dry = execution.is_some_and(|row| row.status == ExecutionStatus::Planned);
            if is_dry || stop == StopFirst::Yes {
                self.stop(*id).await?;
            } else {
                running.push(id.to_string());
            }
        }
        if !running.is_empty() {
            let name = &known.rule.name;
            let message = format!(
                "rule `{name}` is disabled now, but these executions still run: {}",
                running.join(", ")
            );
            return Err(ReplicationError::Conflict(message));
        }
        meta.rule_delete(known.id).await?;
        Ok(())
    }

    fn write(&self, id: Uuid, rule: &Rule, owner: &str) -> RuleWrite {
        let now = SystemTime::now();
        let due_at = match &rule.trigger {
            _ if !rule.enabled => None,
            Trigger::Manual => None,
            Trigger::Cron(schedule) => schedule.after(now),
            Trigger::Event => Some(now + self.inner.parts.reconcile),
        };
        RuleWrite {
            id,
            name: rule.name.clone(),
            members: Value::Object(rule.members()).to_string(),
            enabled: rule.enabled,
            owner: owner.to_owned(),
            due_at,
            sees_events: rule.enabled && rule.trigger.is_event(),
        }
    }

    /// An event rule that is enabled just now first replicates all that matches.
    async fn begun(&self, id: Uuid, rule: &Rule) -> Result<Option<Uuid>, ReplicationError> {
        if !rule.enabled || !rule.trigger.is_event() {
            return Ok(None);
        }
        let execution = self.queue(id, rule, Cause::Event, Run::Now).await?;
        Ok(Some(execution))
    }
}

/// Is what still runs to be stopped when its rule is taken away?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopFirst {
    Yes,
    No,
}

fn already_there(name: &str) -> ReplicationError {
    ReplicationError::Conflict(format!("there is a rule `{name}` already"))
}
