//! `members` of a project: who may do what in it, and who may change that.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::{Api, body::Body, problem::Problem};
use super::Project;
use crate::{
    access::{Caller, Member, Right},
    settings::KnownProject,
};

/// Members that an admin of the project alone cannot change: what the project is of the whole, and its bounds.
const OF_THE_SYSTEM: [&str; 10] = [
    "kind",
    "remote",
    "hosts",
    "default",
    "prefix",
    "allow",
    "deny",
    "max_bytes",
    "quota",
    "hide_default",
];

/// What a user may do in the project's repositories that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectMember {
    /// The name of a user
    #[schema(example = "ada")]
    pub principal: String,
    /// A pattern on repository names without the project
    #[serde(default = "everything")]
    #[schema(example = "**")]
    pub repositories: String,
    /// `pull`, `push`, `delete`, `seed`, `admin`
    pub rights: Vec<String>,
}

/// Lets those in who administer the whole project; tells others no more than they may know.
pub(super) fn admit(api: &Api, caller: &Caller, project: &str) -> Result<(), Problem> {
    if caller.may_on_project(Right::Admin, project) {
        return Ok(());
    }
    let visible = api.parts.projects.now().visible(caller);
    Err(if visible.iter().any(|name| name == project) {
        Problem::forbidden(format!(
            "this takes the right `admin` in all of `{project}`"
        ))
    } else {
        super::missing(project)
    })
}

/// `None`: they stay as they are.
pub(super) fn take(body: &mut Body) -> Result<Option<Vec<Member>>, Problem> {
    let members: Option<Option<Vec<ProjectMember>>> = body.optional("members")?;
    let members = members.flatten();
    Ok(members.map(|members| members.into_iter().map(Into::into).collect()))
}

/// Refuses what is for an admin of the system to change; what is left out of that is as it was.
pub(super) fn keep_bounds(known: &KnownProject, body: &mut Body) -> Result<(), Problem> {
    let shown = serde_json::to_value(Project::from(known.clone()));
    let shown = shown.expect("an object of texts and numbers is JSON");
    for member in OF_THE_SYSTEM {
        let given = known.given.get(member);
        if let Some(said) = body.0.remove(member)
            && given != Some(&said)
            && *shown.get(member).unwrap_or(&Value::Null) != said
        {
            return Err(Problem::forbidden(format!(
                "`{member}` is for an admin of the system to change"
            )));
        }
        if let Some(given) = given {
            body.0.insert(member.to_owned(), given.clone());
        }
    }
    Ok(())
}

fn everything() -> String {
    "**".to_owned()
}

impl From<ProjectMember> for Member {
    fn from(member: ProjectMember) -> Self {
        Self {
            principal: member.principal,
            repositories: member.repositories,
            rights: member.rights,
        }
    }
}

impl From<Member> for ProjectMember {
    fn from(member: Member) -> Self {
        Self {
            principal: member.principal,
            repositories: member.repositories,
            rights: member.rights,
        }
    }
}
