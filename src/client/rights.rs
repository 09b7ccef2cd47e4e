//! What we may do with a repository there, as the token says that we get for it. For people to look at, and nothing more: the
//! token is the remote's affair, and not verified here.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{RegistryClient, authorize::Carried};
use crate::oci::Name;

/// A part of the claims of a token (distribution, "Token Authentication Implementation").
#[derive(Deserialize)]
struct Claims {
    access: Vec<Access>,
}

#[derive(Deserialize)]
struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

impl RegistryClient {
    /// Asks for a token for everything. `None`: there are no tokens, or they do not tell.
    pub async fn rights_on(&self, name: &Name) -> Option<BTreeSet<String>> {
        let transport = &self.transport;
        let scope = format!("repository:{name}:pull,push,delete");
        let endpoint = transport.endpoints.first()?;
        let carried = transport
            .authorizer
            .up_front(&transport.wire, endpoint, &scope);
        match carried.await.ok()? {
            Carried::Token(_, token) => told(token.authorization.to_str().ok()?, name),
            Carried::Nothing | Carried::Login(..) => None,
        }
    }
}

fn told(authorization: &str, name: &Name) -> Option<BTreeSet<String>> {
    let mut parts = authorization.strip_prefix("Bearer ")?.split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let access = claims.access.into_iter();
    let of_it = access.filter(|access| access.kind == "repository" && access.name == name.as_str());
    Some(of_it.flat_map(|access| access.actions).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_what_it_is_for() {
        let name: Name = "team/app".parse().unwrap();
        let told = |claims: &str| {
            let claims = BASE64_URL_SAFE_NO_PAD.encode(claims);
            told(&format!("Bearer head.{claims}.signature"), &name)
        };
        let rights = |rights: &[&str]| {
            let rights = rights.iter().map(ToString::to_string);
            Some(rights.collect::<BTreeSet<String>>())
        };
        let both = r#"{"access":[{"type":"repository","name":"team/app","actions":["pull","push"]},
            {"type":"repository","name":"team/other","actions":["delete"]}]}"#;
        assert_eq!(told(both), rights(&["pull", "push"]));
        assert_eq!(told(r#"{"access":[]}"#), rights(&[]));
        assert_eq!(told(r#"{"sub":"robot"}"#), None);
        assert_eq!(super::told("Bearer opaque", &name), None);
    }
}
