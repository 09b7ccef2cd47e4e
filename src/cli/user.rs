//! `entrepot user …`: who may log in at a running server, by the management API.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{
    Failure,
    members::password,
    output::table,
    rights::{RightsText, written},
    session::{Session, path_of},
};
use crate::api::User;

const RIGHTS_HELP: &str = "\
Rights are written PROJECT[/REPOSITORIES]:RIGHT[,RIGHT…], patterns included: team:pull,push 'apps-*/web/**:delete'. \
There are pull, push, delete, seed (push into a mirror) and admin (all of these, and to change the project).";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// All users
    List,
    /// What a user may do
    Show { name: String },
    /// Make a user
    #[command(after_help = RIGHTS_HELP)]
    Create {
        name: String,
        /// Read the user's password from standard input; without it nobody can log in by this name yet
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        may: May,
    },
    /// Say anew what a user may do: this, and nothing else
    #[command(after_help = RIGHTS_HELP)]
    Rights {
        name: String,
        #[command(flatten)]
        may: May,
    },
    /// Give a user another password, read from standard input
    Password { name: String },
    /// Delete a user, and all tokens that act for it
    Delete { name: String },
}

#[derive(Debug, Args)]
pub(super) struct May {
    /// Everything, as an admin of the system
    #[arg(long)]
    admin: bool,
    #[arg(value_name = "RIGHTS")]
    rights: Vec<RightsText>,
}

pub(super) async fn execute(session: &Session, command: &Command) -> Result<(), Failure> {
    match command {
        Command::List => session.list("/users", &[], listed).await?,
        Command::Show { name } => {
            let user = session.get(&path_of("/users", name)).await?;
            session.show(&user, shown)?;
        }
        Command::Create {
            name,
            password_stdin,
            may,
        } => {
            let mut user = may.json();
            user["name"] = json!(name);
            if *password_stdin {
                user["password"] = json!(password()?.expose());
            }
            let made = session.change(Method::POST, "/users", Some(&user)).await?;
            session.show(&made, shown)?;
        }
        Command::Rights { name, may } => {
            let path = path_of("/users", name);
            let may = may.json();
            let changed = session.change(Method::PUT, &path, Some(&may)).await?;
            session.show(&changed, shown)?;
        }
        Command::Password { name } => {
            let path = path_of("/users", name);
            let user: User = session.server.read(&session.get(&path).await?)?;
            let changed = json!({
                "admin": user.admin, "rights": user.rights, "password": password()?.expose(),
            });
            session.change(Method::PUT, &path, Some(&changed)).await?;
            session.done(&format!("{name}: has another password"));
        }
        Command::Delete { name } => {
            let path = path_of("/users", name);
            session.change(Method::DELETE, &path, None).await?;
            session.done(&format!("{name}: deleted"));
        }
    }
    Ok(())
}

impl May {
    fn json(&self) -> Value {
        json!({"admin": self.admin, "rights": RightsText::all(&self.rights)})
    }
}

fn listed(users: &[User]) -> String {
    let head = ["USER", "MAY"].map(str::to_owned);
    let rows = users.iter().map(|user| [user.name.clone(), may(user)]);
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows)
}

fn shown(user: &User) -> String {
    let password = if user.imported {
        "of the htpasswd file"
    } else {
        "kept here, if there is one"
    };
    table(&[
        ["name".to_owned(), user.name.clone()],
        ["may".to_owned(), may(user)],
        ["password".to_owned(), password.to_owned()],
        ["made".to_owned(), user.created_at.to_string()],
    ])
}

fn may(user: &User) -> String {
    if user.admin {
        return "everything".to_owned();
    }
    written(&user.rights)
}
