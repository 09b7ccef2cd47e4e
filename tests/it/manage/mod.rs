//! What is changed by the management API while the server runs: projects, remotes, repositories.

mod creation;
mod labels;
mod members;
mod projects;
mod remotes;
mod repositories;
mod round_trips;
mod users;

use http::{HeaderMap, Method};
use serde_json::Value;

use crate::{api::PASSWORD, harness::basic, server::TestServer};

/// An answer of the API.
pub(crate) struct Called {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Null if there is none.
    pub(crate) body: Value,
}

impl Called {
    /// The fields that a 400 names.
    pub(crate) fn fields(&self) -> Vec<&str> {
        assert_eq!(self.status, 400, "{}", self.body);
        let errors = self.body["errors"].as_array().expect("a list");
        let names = errors.iter().map(|error| error["field"].as_str());
        names.map(|name| name.expect("a name")).collect()
    }
}

/// A call as the admin; the path without `/api/v1`.
pub(crate) async fn call(
    server: &TestServer,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Called {
    call_as(server, ("admin", PASSWORD), method, path, body).await
}

pub(crate) async fn call_as(
    server: &TestServer,
    (user, password): (&str, &str),
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Called {
    crate::harness::install_crypto();
    let client = reqwest::Client::builder().no_proxy().build();
    let url = format!("{}/api/v1{path}", server.url());
    let mut request = client
        .expect("a client")
        .request(method, url)
        .header("authorization", basic(user, password));
    if let Some(body) = body {
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    let response = request.send().await.expect("the server answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.expect("a whole answer");
    Called {
        status,
        headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

async fn get(server: &TestServer, path: &str) -> Called {
    call(server, Method::GET, path, None).await
}

async fn post(server: &TestServer, path: &str, body: Value) -> Called {
    call(server, Method::POST, path, Some(body)).await
}

async fn put(server: &TestServer, path: &str, body: Value) -> Called {
    call(server, Method::PUT, path, Some(body)).await
}

async fn delete(server: &TestServer, path: &str) -> Called {
    call(server, Method::DELETE, path, None).await
}

/// One member of each item of a list.
fn names<'b>(body: &'b Value, member: &str) -> Vec<&'b str> {
    let items = body.as_array().expect("a list");
    let texts = items.iter().map(|item| item[member].as_str());
    texts.map(|text| text.expect("a text")).collect()
}
