//! `/remotes/test`, `/remotes/{name}/test`: is a remote there, and does it take our login?

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{
    Api, RemoteFields,
    body::Body,
    problem::Problem,
    remotes::{missing, split},
};
use crate::client::{LetIn, Ping, RegistryClient};

/// Retries and all.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How a remote took us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// It asked for no login, or was given none
    Anonymous,
    Accepted,
    Refused,
}

/// What came of a try.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tested {
    /// It answers, and lets us in
    pub healthy: bool,
    /// From the question to the answer, a login included
    pub latency_ms: u64,
    /// For a person
    pub message: String,
    pub auth: Auth,
    pub can: RemoteRights,
}

/// What may be done there; null: only a repository's own answer could tell.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct RemoteRights {
    pub pull: Option<bool>,
    pub push: Option<bool>,
    pub delete: Option<bool>,
    pub create: Option<bool>,
}

#[utoipa::path(
    post, path = "/remotes/test", tag = "remotes", operation_id = "testRemoteFields",
    request_body = RemoteFields,
    responses((status = 200, description = "What came of it; nothing is written down", body = Tested))
)]
pub(super) async fn tried(
    State(api): State<Arc<Api>>,
    mut body: Body,
) -> Result<Json<Tested>, Problem> {
    // A stored remote's secret is never tried at a URL that a caller gives.
    body.take("name");
    let (members, secrets) = split(body)?;
    let secrets = secrets
        .into_iter()
        .filter_map(|(key, secret)| Some((key, secret?)));
    let client = api.parts.settings.remote_tried(members, secrets.collect());
    Ok(Json(test(&client.await?).await))
}

#[utoipa::path(
    post, path = "/remotes/{name}/test", tag = "remotes", operation_id = "testRemote",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "What came of it. A body is ignored", body = Tested),
        (status = 404, description = "There is no remote of this name"),
    )
)]
pub(super) async fn known(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Tested>, Problem> {
    let client = api.parts.remotes.get(&name).ok_or_else(|| missing(&name))?;
    Ok(Json(test(&client).await))
}

async fn test(client: &RegistryClient) -> Tested {
    match timeout(TIMEOUT, client.ping()).await {
        Ok(Ok(ping)) => answered(client, &ping),
        Ok(Err(error)) => failed(error.message),
        Err(_) => failed(format!("gave no answer within {} s", TIMEOUT.as_secs())),
    }
}

fn answered(client: &RegistryClient, ping: &Ping) -> Tested {
    let has_login = !client.remote().is_anonymous();
    let (auth, message) = match (ping.let_in, &ping.refusal) {
        (LetIn::Refused, Some(refusal)) if has_login => (Auth::Refused, refusal.message.clone()),
        (LetIn::Refused, _) => (
            Auth::Refused,
            "asks for a login, and none is set".to_owned(),
        ),
        (LetIn::Accepted, _) => (Auth::Accepted, "takes the login".to_owned()),
        (LetIn::Anonymous, _) if has_login => (
            Auth::Anonymous,
            "answers without asking for the login".to_owned(),
        ),
        (LetIn::Anonymous, _) => (Auth::Anonymous, "answers without a login".to_owned()),
    };
    let is_in = ping.let_in != LetIn::Refused;
    let unknown_if_accepted = if auth == Auth::Accepted {
        None
    } else {
        Some(false)
    };
    Tested {
        healthy: is_in,
        latency_ms: u64::try_from(ping.latency.as_millis()).unwrap_or(u64::MAX),
        message,
        auth,
        can: RemoteRights {
            pull: Some(is_in),
            push: unknown_if_accepted,
            delete: unknown_if_accepted,
            create: unknown_if_accepted,
        },
    }
}

fn failed(message: String) -> Tested {
    Tested {
        healthy: false,
        latency_ms: 0,
        message,
        auth: Auth::Anonymous,
        can: RemoteRights {
            pull: Some(false),
            push: Some(false),
            delete: Some(false),
            create: Some(false),
        },
    }
}
