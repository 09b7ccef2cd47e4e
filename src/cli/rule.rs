//! `entrepot rule …`: what a running server replicates, where to and when, by the management API.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Failure,
    connection::{ANSWER_TIMEOUT, Call},
    execution_watch::watch,
    members::{member, overlay},
    output::{table, time},
    session::{Session, path_of},
};
use crate::api::{Begun, Items, Rule, RuleSync};

const MEMBERS_HELP: &str = "\
A member is written KEY=VALUE, with the names and values of the API's rules; those of members have dots: \
remotes=edge source.project=docker.io 'source.filters=[{\"type\":\"name\",\"value\":\"library/**\"}]' trigger.type=event. \
KEY=null makes it what it is by default.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The rules that you may see
    List {
        /// Only those with this in their name
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// All there is to say of a rule
    Show { name: String },
    /// Make a rule
    #[command(after_help = MEMBERS_HELP)]
    Create {
        name: String,
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = member)]
        members: Vec<(String, Value)>,
    },
    /// Change some of a rule, its name too; all else stays
    #[command(after_help = MEMBERS_HELP)]
    Set {
        name: String,
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = member)]
        members: Vec<(String, Value)>,
    },
    /// Let a rule act
    Enable { name: String },
    /// Let a rule act no more, and stop what it does
    Disable { name: String },
    /// Begin an execution
    Run {
        name: String,
        /// Only make its plan, which `execution apply` carries out
        #[arg(long)]
        dry_run: bool,
        /// Show its progress until it has ended; exits with 1 unless it has succeeded
        #[arg(long)]
        wait: bool,
    },
    /// Ask the remotes whether they have what they are to have; exits with 1 if one has not
    Sync { name: String },
    /// Delete a rule; its executions stay
    Delete {
        name: String,
        /// Stop what still runs
        #[arg(long)]
        stop: bool,
    },
}

pub(super) async fn execute(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List { search } => {
            let search = search.as_deref().map(|text| ("q", text));
            let query: Vec<_> = search.into_iter().collect();
            session.list("/rules", &query, listed).await?;
        }
        Command::Show { name } => {
            let rule = session.get(&path_of("/rules", name)).await?;
            session.show(&rule, shown)?;
        }
        Command::Create { name, members } => {
            let mut rule = Map::from_iter([("name".to_owned(), json!(name))]);
            overlay(&mut rule, members);
            let rule = Value::Object(rule);
            let made = session.change(Method::POST, "/rules", Some(&rule));
            session.show(&made.await?, shown)?;
        }
        Command::Set { name, members } => {
            let path = path_of("/rules", name);
            let mut rule: Map<String, Value> = session.server.read(&session.get(&path).await?)?;
            overlay(&mut rule, members);
            let rule = Value::Object(rule);
            let changed = session.change(Method::PUT, &path, Some(&rule)).await?;
            session.show(&changed, shown)?;
        }
        Command::Enable { name } => switch(session, name, true).await?,
        Command::Disable { name } => switch(session, name, false).await?,
        Command::Run {
            name,
            dry_run,
            wait,
        } => {
            let path = format!("{}/executions", path_of("/rules", name));
            let body = json!({ "dry_run": dry_run });
            let begun = session.change(Method::POST, &path, Some(&body)).await?;
            let id = session.server.read::<Begun>(&begun)?.id;
            if *wait {
                return watch(session, id).await;
            }
            session.show(&begun, |begun: &Begun| format!("{}\n", begun.id))?;
        }
        Command::Sync { name } => {
            let path = format!("{}/sync", path_of("/rules", name));
            let compared = session.get(&path).await?;
            session.show(&compared, told)?;
            let compared: Items<RuleSync> = session.server.read(&compared)?;
            if !compared.items.iter().all(|remote| remote.in_sync) {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Delete { name, stop } => {
            let path = path_of("/rules", name);
            let call = Call {
                query: &[("stop", if *stop { "true" } else { "false" })],
                ..Call::new(Method::DELETE, &path)
            };
            session.server.call(call, ANSWER_TIMEOUT).await?;
            session.done(&format!("{name}: deleted"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn switch(session: &Session, name: &str, enabled: bool) -> Result<(), Failure> {
    let body = json!({ "enabled": enabled });
    let path = path_of("/rules", name);
    let changed = session.change(Method::PATCH, &path, Some(&body)).await?;
    Ok(session.show(&changed, shown)?)
}

fn listed(rules: &[Rule]) -> String {
    let head = ["RULE", "STATE", "MODE", "SOURCE", "REMOTES", "TRIGGER"].map(str::to_owned);
    let rows = rules.iter().map(|rule| {
        [
            rule.name.clone(),
            state(rule).to_owned(),
            rule.mode.clone(),
            rule.source.project.clone(),
            rule.remotes.join(","),
            trigger(rule),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows)
}

fn state(rule: &Rule) -> &'static str {
    if rule.enabled { "enabled" } else { "disabled" }
}

fn trigger(rule: &Rule) -> String {
    let trigger = &rule.trigger;
    match (&trigger.cron, &trigger.timezone) {
        (Some(cron), Some(zone)) => format!("{} {cron} ({zone})", trigger.kind),
        (Some(cron), None) => format!("{} {cron}", trigger.kind),
        (None, _) => trigger.kind.clone(),
    }
}

fn shown(rule: &Rule) -> String {
    let mut rows = vec![
        ["name".to_owned(), rule.name.clone()],
        ["state".to_owned(), state(rule).to_owned()],
        ["mode".to_owned(), rule.mode.clone()],
        ["source".to_owned(), rule.source.project.clone()],
    ];
    for filter in &rule.source.filters {
        let excludes = filter.decoration.as_deref() == Some("excludes");
        let word = if excludes { "not " } else { "" };
        let value = match &filter.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        rows.push([
            "filter".to_owned(),
            format!("{word}{} {value}", filter.kind),
        ]);
    }
    let more = [
        ("remotes", rule.remotes.join(" ")),
        ("project there", rule.destination.project.clone()),
        ("trigger", trigger(rule)),
        ("bandwidth", rule.bandwidth.clone()),
        ("description", rule.description.clone()),
        ("owner", rule.owner.clone()),
        (
            "execution",
            rule.execution.map(|id| id.to_string()).unwrap_or_default(),
        ),
        (
            "waiting deletes",
            rule.waiting_deletes
                .map(|id| id.to_string())
                .unwrap_or_default(),
        ),
    ];
    for (key, value) in more {
        if !value.is_empty() {
            rows.push([key.to_owned(), value]);
        }
    }
    let warnings = rule.warnings.iter();
    rows.extend(warnings.map(|warning| ["warning".to_owned(), warning.clone()]));
    table(&rows)
}

fn told(compared: &Items<RuleSync>) -> String {
    let head = [
        "REMOTE",
        "IN SYNC",
        "MISSING",
        "DIFFERING",
        "EXTRA",
        "LAST SUCCESS",
        "",
    ];
    let rows = compared.items.iter().map(|remote| {
        [
            remote.remote.clone(),
            if remote.in_sync { "yes" } else { "no" }.to_owned(),
            remote.missing.to_string(),
            remote.differing.to_string(),
            remote.extra.to_string(),
            time(remote.last_success_at),
            remote.message.clone().unwrap_or_default(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    table(&rows)
}
