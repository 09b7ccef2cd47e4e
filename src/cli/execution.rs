//! `entrepot execution …`: what rules of a running server do and did, by the management API.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Failure,
    execution_watch::watch,
    output::{print, size, table, time},
    session::Session,
};
use crate::api::{Execution, Plan, Retried, Task};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Executions, the newest first
    List {
        /// Of this rule
        #[arg(long, value_name = "RULE")]
        rule: Option<String>,
        /// `Planned`, `InProgress`, `Retrying`, `Stopping`, `Succeeded`, `Failed` or `Stopped`
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
    },
    /// All there is to say of an execution
    Show { id: Uuid },
    /// Show its progress until it has ended; exits with 1 unless it has succeeded
    Watch { id: Uuid },
    /// What a dry run would do
    Plan { id: Uuid },
    /// Carry out the plan of a dry run
    Apply { id: Uuid },
    /// What it does with each repository at each remote
    Tasks {
        id: Uuid,
        /// `Pending`, `Running`, `Retrying`, `Stopping`, `Succeeded`, `Failed` or `Stopped`
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// At this remote
        #[arg(long, value_name = "REMOTE")]
        remote: Option<String>,
    },
    /// The log of a task
    Log {
        #[arg(value_name = "TASK")]
        id: Uuid,
    },
    /// Stop what of it has not ended
    Stop { id: Uuid },
    /// Run what failed or was stopped once more
    Retry { id: Uuid },
}

pub(super) async fn execute(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List { rule, status } => {
            let query = [("rule", rule), ("status", status)];
            session.list("/executions", &given(&query), listed).await?;
        }
        Command::Show { id } => {
            let execution = session.get(&format!("/executions/{id}")).await?;
            session.show(&execution, shown)?;
        }
        Command::Watch { id } => return watch(session, *id).await,
        Command::Plan { id } => {
            let plan = session.get(&format!("/executions/{id}/plan")).await?;
            session.show(&plan, planned)?;
        }
        Command::Apply { id } => {
            let path = format!("/executions/{id}/apply");
            session.change(Method::POST, &path, None).await?;
            session.done(&format!("{id}: begun"));
        }
        Command::Tasks { id, status, remote } => {
            let query = [("status", status), ("remote", remote)];
            let path = format!("/executions/{id}/tasks");
            session.list(&path, &given(&query), tasks).await?;
        }
        Command::Log { id } => {
            let log = session.get(&format!("/tasks/{id}/log")).await?;
            print(log.as_str().unwrap_or_default());
        }
        Command::Stop { id } => {
            let path = format!("/executions/{id}/stop");
            session.change(Method::POST, &path, None).await?;
            session.done(&format!("{id}: stopped"));
        }
        Command::Retry { id } => {
            let path = format!("/executions/{id}/retry");
            let retried: Value = session.change(Method::POST, &path, None).await?;
            session.show(&retried, |retried: &Retried| {
                format!("{} tasks run once more\n", retried.tasks)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn given<'a>(query: &[(&'a str, &'a Option<String>)]) -> Vec<(&'a str, &'a str)> {
    let pairs = query.iter();
    let given = pairs.filter_map(|(key, value)| Some((*key, value.as_deref()?)));
    given.collect()
}

fn listed(executions: &[Execution]) -> String {
    let head = [
        "EXECUTION",
        "RULE",
        "TRIGGER",
        "STATUS",
        "CREATED",
        "TASKS",
        "SENT",
    ];
    let rows = executions.iter().map(|execution| {
        [
            execution.id.to_string(),
            execution.rule.clone(),
            execution.trigger.clone(),
            execution.status.clone(),
            execution.created_at.to_string(),
            format!("{}/{}", execution.tasks.succeeded, execution.tasks.total),
            size(execution.bytes_sent),
        ]
    });
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    table(&rows)
}

pub(super) fn shown(execution: &Execution) -> String {
    let counts = &execution.tasks;
    let tasks = format!(
        "{} succeeded, {} failed, {} stopped, {} to do",
        counts.succeeded,
        counts.failed,
        counts.stopped,
        counts.pending + counts.running + counts.retrying
    );
    let bytes = format!(
        "{} sent, {} there already",
        size(execution.bytes_sent),
        size(execution.bytes_skipped)
    );
    let rows = [
        ("id", execution.id.to_string()),
        ("rule", execution.rule.clone()),
        ("trigger", execution.trigger.clone()),
        ("status", execution.status.clone()),
        ("created", execution.created_at.to_string()),
        ("ended", time(execution.ended_at)),
        ("tasks", tasks),
        ("repositories", execution.repositories.to_string()),
        ("bytes", bytes),
        ("message", execution.message.clone()),
    ];
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let rows: Vec<_> = rows.map(|(key, value)| [key.to_owned(), value]).collect();
    table(&rows)
}

fn planned(plan: &Plan) -> String {
    let head = ["ACTION", "REMOTE", "FROM", "TO", "BYTES"].map(str::to_owned);
    let rows = plan.items.iter().map(|item| {
        [
            item.action.clone(),
            item.remote.clone(),
            format!("{}:{}", item.repository, item.tag),
            format!("{}:{}", item.destination, item.tag),
            size(item.bytes),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let totals = &plan.totals;
    format!(
        "{}{} to copy ({}), {} there already, {} left alone, {} collide, {} to delete\n",
        table(&rows),
        totals.copy,
        size(totals.bytes),
        totals.skip,
        totals.conflict,
        totals.collision,
        totals.delete
    )
}

fn tasks(tasks: &[Task]) -> String {
    let head = [
        "TASK",
        "REMOTE",
        "REPOSITORY",
        "STATUS",
        "ATTEMPTS",
        "SENT",
        "ERROR",
    ];
    let rows = tasks.iter().map(|task| {
        [
            task.id.to_string(),
            task.remote.clone(),
            task.repository.clone(),
            task.status.clone(),
            task.attempts.to_string(),
            size(task.bytes_sent),
            task.error.clone().unwrap_or_default(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    table(&rows)
}
