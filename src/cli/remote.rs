//! `entrepot remote …`: the registries elsewhere that a running server knows, by the management API.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Failure,
    members::{member, overlay, password},
    output::table,
    session::{Session, path_of},
};
use crate::api::{Auth, ManagedBy, Remote, Tested};

const MEMBERS_HELP: &str = "\
A member is written KEY=VALUE, with the names and values of [[remote]] in the configuration file: \
urls=https://registry.example.com, username=robot, max_concurrent=4. KEY=null makes it what it is by default. \
Secrets that are not given stay, unless the URL is another one.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// All remotes
    List {
        /// Only those with this in their name
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// All there is to say of a remote
    Show { name: String },
    /// Make a remote
    #[command(after_help = MEMBERS_HELP)]
    Create {
        name: String,
        #[arg(value_name = "KEY=VALUE", value_parser = member)]
        members: Vec<(String, Value)>,
        /// Read its password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change some of a remote; all else stays
    #[command(after_help = MEMBERS_HELP)]
    Set {
        name: String,
        #[arg(value_name = "KEY=VALUE", value_parser = member)]
        members: Vec<(String, Value)>,
        /// Read its password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Is it there, and does it take our login? Exits with 1 if not
    Test { name: String },
    /// Delete a remote that nothing uses
    Delete { name: String },
}

pub(super) async fn execute(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List { search } => {
            let search = search.as_deref().map(|text| ("q", text));
            let query: Vec<_> = search.into_iter().collect();
            session.list("/remotes", &query, listed).await?;
        }
        Command::Show { name } => {
            let remote = session.get(&path_of("/remotes", name)).await?;
            session.show(&remote, shown)?;
        }
        Command::Create {
            name,
            members,
            password_stdin,
        } => {
            let mut remote = Map::from_iter([("name".to_owned(), json!(name))]);
            lay(&mut remote, members, *password_stdin)?;
            let remote = Value::Object(remote);
            let made = session.change(Method::POST, "/remotes", Some(&remote));
            session.show(&made.await?, shown)?;
        }
        Command::Set {
            name,
            members,
            password_stdin,
        } => {
            let path = path_of("/remotes", name);
            let mut remote = session.server.read(&session.get(&path).await?)?;
            lay(&mut remote, members, *password_stdin)?;
            let remote = Value::Object(remote);
            let changed = session.change(Method::PUT, &path, Some(&remote)).await?;
            session.show(&changed, shown)?;
        }
        Command::Test { name } => {
            let path = format!("{}/test", path_of("/remotes", name));
            let body = session.change(Method::POST, &path, None).await?;
            session.show(&body, told)?;
            let tested: Tested = session.server.read(&body)?;
            if !tested.healthy {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Delete { name } => {
            let path = path_of("/remotes", name);
            session.change(Method::DELETE, &path, None).await?;
            session.done(&format!("{name}: deleted"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn lay(
    remote: &mut Map<String, Value>,
    members: &[(String, Value)],
    password_stdin: bool,
) -> anyhow::Result<()> {
    overlay(remote, members);
    if let Some(url) = remote.get("urls").filter(|urls| urls.is_string()) {
        let urls = json!([url]);
        remote.insert("urls".to_owned(), urls);
    }
    if password_stdin {
        remote.insert("password".to_owned(), json!(password()?.expose()));
    }
    Ok(())
}

fn listed(remotes: &[Remote]) -> String {
    let head = ["REMOTE", "PROVIDER", "URL", "LOGIN", "USED BY"].map(str::to_owned);
    let rows = remotes.iter().map(|remote| {
        [
            remote.name.clone(),
            remote.provider.clone(),
            remote.urls.first().cloned().unwrap_or_default(),
            login(remote),
            used_by(remote),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows)
}

fn shown(remote: &Remote) -> String {
    let managed_by = match remote.managed_by {
        ManagedBy::Configuration => "the configuration file",
        ManagedBy::BuiltIn => "nobody (it is built in)",
        ManagedBy::Api => "the API",
    };
    let rows = [
        ("name", Some(remote.name.clone())),
        ("provider", Some(remote.provider.clone())),
        ("URLs", Some(remote.urls.join(" "))),
        ("login", Some(login(remote))),
        ("managed by", Some(managed_by.to_owned())),
        ("description", Some(remote.description.clone())),
        ("used by", Some(used_by(remote))),
        ("open to projects", Some(remote.projects.join(" "))),
        ("bandwidth", remote.bandwidth.clone()),
        (
            "tasks at once",
            remote.max_concurrent.map(|count| count.to_string()),
        ),
        ("hours (UTC)", remote.allowed_hours.clone()),
        ("credentials expire", remote.credentials_expire_at.clone()),
    ];
    let rows = rows.into_iter().filter_map(|(key, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some([key.to_owned(), value])
    });
    table(&rows.collect::<Vec<_>>())
}

fn login(remote: &Remote) -> String {
    match (&remote.username, remote.anonymous) {
        (Some(username), _) => username.clone(),
        (None, true) => "none".to_owned(),
        (None, false) => "yes".to_owned(),
    }
}

fn used_by(remote: &Remote) -> String {
    let projects = remote.used_by.iter().map(|name| format!("project {name}"));
    let rules = remote.used_by_rules.iter();
    let rules = rules.map(|name| format!("rule {name}"));
    projects.chain(rules).collect::<Vec<_>>().join(", ")
}

fn told(tested: &Tested) -> String {
    let auth = match tested.auth {
        Auth::Anonymous => "anonymous",
        Auth::Accepted => "accepted",
        Auth::Refused => "refused",
    };
    let word = if tested.healthy {
        "healthy"
    } else {
        "unhealthy"
    };
    format!(
        "{word}: {} (login: {auth}, {} ms)\n",
        tested.message, tested.latency_ms
    )
}
