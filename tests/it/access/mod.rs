//! Who may do what, over real HTTP.

mod foreign_logins;
mod oidc;
mod sign_in;
mod tokens;
mod visitors;

use entrepot::{
    access::{Accounts, Actor, GrantText, NewToken, NewUser, Source},
    config::{Database, Secret},
    meta::Meta,
};
use http::Method;

use crate::{
    harness::{Answer, Client},
    server::TestServer,
};

/// Users of a server that keeps its rows in SQLite, made behind its back.
struct People(Accounts, Meta);

impl People {
    async fn of(server: &TestServer) -> Self {
        let file = server.folder.path().join("data/entrepot.db");
        let meta = Meta::open(&Database::Sqlite(file)).await.expect("the rows");
        Self(Accounts::new(meta.clone(), None), meta)
    }

    /// A user whose password is `NAME's password`.
    async fn add(&self, name: &str, rights: &[GrantText]) {
        let new = NewUser {
            name: name.to_owned(),
            password: Some(Secret::new(password_of(name))),
            is_admin: false,
            rights: rights.to_vec(),
        };
        let made = self.0.create_user(&actor("admin"), new).await;
        made.expect("the user is made");
    }

    /// User name and secret of a token that may what its owner may.
    async fn add_token(&self, owner: &str) -> (String, String) {
        let new = NewToken {
            name: "ci".to_owned(),
            rights: None,
            expires_in: None,
        };
        let made = self.0.create_token(&actor(owner), new).await;
        let (token, secret) = made.expect("the token is made");
        (token.username, secret.expose().to_owned())
    }

    /// What the audit tells, the oldest first: who, what, to whom, with what outcome.
    async fn audit(&self) -> Vec<String> {
        let rows = self.1.audits(None, 1000).await.expect("rows");
        let told = rows.into_iter().rev().map(|row| {
            let entry = row.entry;
            format!("{} {} {}", entry.principal, entry.action, entry.outcome)
        });
        told.collect()
    }
}

fn password_of(name: &str) -> String {
    format!("{name}'s password")
}

fn actor(name: &str) -> Actor {
    Actor {
        name: name.to_owned(),
        source: Source::UNKNOWN,
    }
}

fn grant(project: &str, repositories: &str, rights: &[&str]) -> GrantText {
    GrantText {
        project: project.to_owned(),
        repositories: repositories.to_owned(),
        rights: rights.iter().map(|&right| right.to_owned()).collect(),
    }
}

/// Asks with this `Authorization`, if any.
async fn ask(method: Method, url: &str, authorization: Option<&str>) -> Answer {
    let headers: Vec<_> = authorization
        .iter()
        .map(|value| ("authorization", *value))
        .collect();
    Client::new().send(method, url, &headers).await
}

async fn get_as(url: &str, authorization: &str) -> Answer {
    ask(Method::GET, url, Some(authorization)).await
}

/// The parameters of the Bearer challenge that came with a 401.
fn challenge(answer: &Answer) -> Vec<(String, String)> {
    assert_eq!(answer.status, 401);
    let text = answer.header("www-authenticate");
    let parameters = text.strip_prefix("Bearer ").expect("a Bearer challenge");
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').expect("key=value");
        (key.to_owned(), value.trim_matches('"').to_owned())
    };
    // A scope with commas is one value.
    let split = parameters
        .split("\",")
        .map(|part| part.trim_end_matches('"'));
    split.map(pair).collect()
}

fn parameter<'c>(challenge: &'c [(String, String)], key: &str) -> &'c str {
    let found = challenge.iter().find(|(known, _)| known == key);
    found.map_or("", |(_, value)| value)
}

/// A token for these scopes, as a client gets one; with this `Authorization`, if any.
async fn token(server: &TestServer, scopes: &[&str], authorization: Option<&str>) -> Answer {
    let mut url = format!("{}/token?service=entrepot&client_id=test", server.url());
    for scope in scopes {
        url.extend(["&scope=", scope]);
    }
    ask(Method::GET, &url, authorization).await
}

fn bearer(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let answer = answer.json();
    assert_eq!(answer["token"], answer["access_token"]);
    format!("Bearer {}", answer["token"].as_str().expect("a text"))
}
