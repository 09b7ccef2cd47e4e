//! Each provider against a server that follows the provider's public API and computes every signature for itself.

mod alibaba;
mod amazon;
mod azure;
mod google;
mod harbor;
mod services;
mod tencent;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use super::{api::Api, google::Google, signing::Key};
use crate::{
    client::{
        credentials::{CredentialError, Login, Source},
        tests::server::{FakeServer, Reply, Seen},
    },
    config::{self, AccessKey, Cloud, Provider, Secret, Variables},
};

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn api() -> Api {
    Api::new(&crate::client::tests::remote(
        "http://127.0.0.1/".parse().unwrap(),
    ))
    .unwrap()
}

fn cloud(key: bool, variables: &[(&str, &str)]) -> Cloud {
    let environment = variables.iter();
    let environment = environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Cloud {
        key: key.then(|| AccessKey {
            id: ID.to_owned(),
            secret: Secret::new(SECRET.to_owned()),
        }),
        environment: Variables::new(&environment.collect::<BTreeMap<_, _>>()),
        instance: None,
        region: None,
    }
}

fn key(id: &str, secret: &str) -> Key {
    Key {
        id: id.to_owned(),
        secret: Secret::new(secret.to_owned()),
        session: None,
    }
}

/// What a source gives: `user:password` or the token, and the minutes that it lasts.
async fn given(source: &impl Source) -> Result<(String, u64), CredentialError> {
    let grant = source.fetch().await?;
    let login = match grant.login.unwrap() {
        Login::Token(token) => token.expose().to_owned(),
        Login::Password(header) => {
            let encoded = header.to_str().unwrap().strip_prefix("Basic ").unwrap();
            String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap()
        }
    };
    let minutes = (grant.lifetime + Duration::from_secs(30)).as_secs() / 60;
    Ok((login, minutes))
}

/// Milliseconds since 1970, so many minutes from now.
fn in_minutes(minutes: u64) -> u64 {
    let end = SystemTime::now() + Duration::from_secs(minutes * 60);
    let since = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn sha(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The value after `name=` in an `Authorization` header.
fn part<'h>(header: &'h str, name: &str) -> &'h str {
    let value = header
        .split([' ', ','])
        .find_map(|piece| piece.strip_prefix(name));
    value.unwrap().trim_start_matches('=')
}

/// The lines `name:value` of the headers that were signed.
fn signed_headers(seen: &Seen, names: &str) -> String {
    let lines = names
        .split(';')
        .map(|name| format!("{name}:{}\n", seen.header(name)));
    lines.collect()
}

fn json_body(seen: &Seen) -> serde_json::Value {
    serde_json::from_slice(&seen.body).unwrap()
}

fn form(seen: &Seen) -> BTreeMap<String, String> {
    form_urlencoded::parse(&seen.body).into_owned().collect()
}

fn at(server: &FakeServer, path: &str) -> Url {
    server.url().join(path).unwrap()
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url: Url = format!("http://{nobody}/").parse().unwrap();
    let error = given(&Google::new(api(), &cloud(false, &[])).at(url))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`127.0.0.1` does not answer: connection refused"
    );
}

#[tokio::test]
async fn an_answer_of_nonsense_or_without_end_is_an_error() {
    for body in [b"<html>".to_vec(), vec![b' '; 2 * 1024 * 1024]] {
        let server = FakeServer::start(move |_| Reply::new(200, body.clone())).await;
        let google = Google::new(api(), &cloud(false, &[])).at(server.url());
        let error = given(&google).await.unwrap_err();
        assert!(error.what.contains("127.0.0.1"), "{error}");
    }
}

#[test]
fn every_provider_with_a_service_has_a_source() {
    for provider in [
        Provider::Ecr,
        Provider::Google,
        Provider::Azure,
        Provider::Aliyun,
        Provider::Tencent,
    ] {
        let url: Url = "https://registry.example.com/".parse().unwrap();
        let remote = config::Remote {
            provider,
            ..crate::client::tests::remote(url.clone())
        };
        let place = Cloud {
            region: Some("eu-west-1".to_owned()),
            ..cloud(false, &[])
        };
        assert!(super::source(&remote, &place, &url).is_ok(), "{provider:?}");
    }
}
