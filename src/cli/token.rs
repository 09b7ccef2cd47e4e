//! `entrepot token …`: what machines log in with at a running server, by the management API.

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::{
    Failure,
    output::{table, time},
    rights::{RightsText, written},
    session::{Session, path_of},
};
use crate::api::{CreatedToken, Token};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Your tokens; of an admin of the system everybody's
    List,
    /// Make a token that acts for you; its secret is shown this once
    Create {
        name: String,
        /// What it may do, written PROJECT[/REPOSITORIES]:RIGHT[,RIGHT…]; without any all that you may
        #[arg(value_name = "RIGHTS")]
        rights: Vec<RightsText>,
        /// How long it is good for, such as 90d; without it until it is deleted
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
    },
    /// Delete a token: from now on it opens nothing
    Delete { id: String },
}

pub(super) async fn execute(session: &Session, command: &Command) -> Result<(), Failure> {
    match command {
        Command::List => session.list("/tokens", &[], listed).await?,
        Command::Create {
            name,
            rights,
            expires_in,
        } => {
            let mut token = json!({ "name": name });
            if !rights.is_empty() {
                token["rights"] = json!(RightsText::all(rights));
            }
            if let Some(expires_in) = expires_in {
                token["expires_in"] = json!(expires_in);
            }
            let made = session.change(Method::POST, "/tokens", Some(&token));
            session.show(&made.await?, created)?;
        }
        Command::Delete { id } => {
            let path = path_of("/tokens", id);
            session.change(Method::DELETE, &path, None).await?;
            session.done(&format!("{id}: deleted"));
        }
    }
    Ok(())
}

fn listed(tokens: &[Token]) -> String {
    let head = ["ID", "USERNAME", "EXPIRES", "MAY"].map(str::to_owned);
    let rows = tokens.iter().map(|token| {
        let may = token.rights.as_deref();
        [
            token.id.clone(),
            token.username.clone(),
            time(token.expires_at),
            may.map_or_else(|| format!("all that {} may", token.owner), written),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows)
}

fn created(token: &CreatedToken) -> String {
    table(&[
        ["id".to_owned(), token.id.clone()],
        ["username".to_owned(), token.username.clone()],
        ["secret".to_owned(), token.secret.clone()],
        ["expires".to_owned(), time(token.expires_at)],
    ])
}
