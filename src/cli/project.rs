//! `entrepot project …`: the projects of a running server, by the management API.

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Failure,
    members::{member, overlay},
    output::{size, table},
    rights::split,
    session::{Session, path_of},
};
use crate::api::{Kind, ManagedBy, Project, ProjectMember, Visibility};

const MEMBERS_HELP: &str = "\
A member is written KEY=VALUE, with the names and values of [[project]] in the configuration file: kind=hosted, \
quota=10GiB, 'immutable_tags=[\"v*\"]'. KEY=null makes it what it is by default.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The projects that you may see
    List {
        /// Only those with this in their name
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// All there is to say of a project
    Show { name: String },
    /// Make a project
    #[command(after_help = MEMBERS_HELP)]
    Create {
        name: String,
        #[arg(value_name = "KEY=VALUE", value_parser = member)]
        members: Vec<(String, Value)>,
    },
    /// Change some of a project; all else stays
    #[command(after_help = MEMBERS_HELP)]
    Set {
        name: String,
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = member)]
        members: Vec<(String, Value)>,
    },
    /// Delete a project; one that is hosted must be empty
    Delete { name: String },
    /// Let a user do this in a project, and in these repositories nothing else
    Grant {
        name: String,
        #[arg(value_name = "USER")]
        whom: String,
        /// pull, push, delete, seed, admin; several between commas
        rights: String,
        /// Only in those that match
        #[arg(long, value_name = "PATTERN", default_value = "**")]
        repositories: String,
    },
    /// Take all rights in a project away from a user
    Revoke {
        name: String,
        #[arg(value_name = "USER")]
        whom: String,
    },
}

pub(super) async fn execute(session: &Session, command: &Command) -> Result<(), Failure> {
    match command {
        Command::List { search } => {
            let search = search.as_deref().map(|text| ("q", text));
            let query: Vec<_> = search.into_iter().collect();
            session.list("/projects", &query, listed).await?;
        }
        Command::Show { name } => {
            let project = session.get(&path_of("/projects", name)).await?;
            session.show(&project, shown)?;
        }
        Command::Create { name, members } => {
            let mut project = Map::from_iter([("name".to_owned(), json!(name))]);
            overlay(&mut project, members);
            let project = Value::Object(project);
            let made = session.change(Method::POST, "/projects", Some(&project));
            session.show(&made.await?, shown)?;
        }
        Command::Set { name, members } => {
            change(session, name, |project| overlay(project, members)).await?;
        }
        Command::Delete { name } => {
            let path = path_of("/projects", name);
            session.change(Method::DELETE, &path, None).await?;
            session.done(&format!("{name}: deleted"));
        }
        Command::Grant {
            name,
            whom,
            rights,
            repositories,
        } => {
            let member = ProjectMember {
                principal: whom.clone(),
                repositories: repositories.clone(),
                rights: split(rights),
            };
            let is_other = |other: &ProjectMember| {
                other.principal != member.principal || other.repositories != member.repositories
            };
            let and = Some(&member);
            change_members(session, name, is_other, and).await?;
        }
        Command::Revoke { name, whom } => {
            let is_other = |other: &ProjectMember| other.principal != *whom;
            change_members(session, name, is_other, None).await?;
        }
    }
    Ok(())
}

/// Reads the project, changes it, and puts it back.
async fn change(
    session: &Session,
    name: &str,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<(), Failure> {
    let path = path_of("/projects", name);
    let mut project: Map<String, Value> = session.server.read(&session.get(&path).await?)?;
    change(&mut project);
    let body = Value::Object(project);
    let changed = session.change(Method::PUT, &path, Some(&body)).await?;
    Ok(session.show(&changed, shown)?)
}

/// Keeps the members that `stays` wants, and adds one.
async fn change_members(
    session: &Session,
    name: &str,
    stays: impl Fn(&ProjectMember) -> bool,
    and: Option<&ProjectMember>,
) -> Result<(), Failure> {
    change(session, name, |project| {
        let members = project.get("members").cloned().unwrap_or_default();
        let members: Vec<ProjectMember> = serde_json::from_value(members).unwrap_or_default();
        let stay = members.into_iter().filter(|member| stays(member));
        let members: Vec<_> = stay.chain(and.cloned()).collect();
        // Of what the file declares nothing else can be put.
        if project.get("managed_by") == Some(&json!(ManagedBy::Configuration)) {
            project.clear();
        }
        project.insert("members".to_owned(), json!(members));
    })
    .await
}

fn listed(projects: &[Project]) -> String {
    let head = ["PROJECT", "KIND", "VISIBILITY", "FROM"].map(str::to_owned);
    let rows = projects.iter().map(|project| {
        [
            project.name.clone(),
            kind(project.kind).to_owned(),
            visibility(project.visibility).to_owned(),
            project.remote.clone().unwrap_or_default(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows)
}

fn shown(project: &Project) -> String {
    let managed_by = match project.managed_by {
        ManagedBy::Configuration => "the configuration file",
        ManagedBy::BuiltIn => "nobody (it is built in)",
        ManagedBy::Api => "the API",
    };
    let mut rows = vec![
        ["name".to_owned(), project.name.clone()],
        ["kind".to_owned(), kind(project.kind).to_owned()],
        [
            "visibility".to_owned(),
            visibility(project.visibility).to_owned(),
        ],
        ["managed by".to_owned(), managed_by.to_owned()],
    ];
    let more = [
        (
            "description",
            Some(project.description.clone()).filter(|text| !text.is_empty()),
        ),
        ("remote", project.remote.clone()),
        ("hosts", project.hosts.as_ref().map(|hosts| hosts.join(" "))),
        ("budget", project.max_bytes.map(size)),
        ("quota", project.quota.map(size)),
        (
            "immutable tags",
            project.immutable_tags.as_ref().map(|tags| tags.join(" ")),
        ),
    ];
    for (key, value) in more {
        let value = value.filter(|value| !value.is_empty());
        rows.extend(value.map(|value| [key.to_owned(), value]));
    }
    for member in project.members.iter().flatten() {
        let what = format!(
            "{} in {}: {}",
            member.principal,
            member.repositories,
            member.rights.join(",")
        );
        rows.push(["member".to_owned(), what]);
    }
    table(&rows)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Mirror => "mirror",
        Kind::Hosted => "hosted",
    }
}

fn visibility(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public => "public",
        Visibility::Private => "private",
        Visibility::Remote => "remote",
    }
}
