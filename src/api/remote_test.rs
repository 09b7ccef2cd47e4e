//! `/remotes/test`, `/remotes/{name}/test`: is a remote there, and does it take our login?

use std::{collections::BTreeSet, sync::Arc, time::Duration};

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
    remote_use::{self, Use},
    remotes::{missing, split},
};
use crate::{
    client::{LetIn, Ping, RegistryClient},
    oci::Name,
};

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

/// What may be done there: of a remote that is used by what it gives for one of the repositories. Null: it does not tell.
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
    Ok(Json(test(&client.await?, &Use::default()).await))
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
    let used = remote_use::find(&api, &name).await?;
    Ok(Json(test(&client, &used).await))
}

async fn test(client: &RegistryClient, used: &Use) -> Tested {
    let mut tested = match timeout(TIMEOUT, client.ping()).await {
        Ok(Ok(ping)) => answered(client, &ping),
        Ok(Err(error)) => failed(error.message),
        Err(_) => failed(format!("gave no answer within {} s", TIMEOUT.as_secs())),
    };
    if let Some(repository) = used.repository.as_ref().filter(|_| tested.healthy)
        && let Ok(Some(rights)) = timeout(TIMEOUT, client.rights_on(repository)).await
    {
        tested.tell(repository, &rights, used);
    }
    tested
}

impl Tested {
    /// What the remote gives for a repository that is used; and what of it nobody needs.
    fn tell(&mut self, repository: &Name, rights: &BTreeSet<String>, used: &Use) {
        let has = |right: &str| rights.contains(right) || rights.contains("*");
        self.can.pull = Some(has("pull"));
        self.can.push = Some(has("push"));
        self.can.delete = Some(has("delete"));
        let needs = [("push", used.pushes), ("delete", used.deletes)];
        let needless = needs.iter().filter(|(right, needed)| !needed && has(right));
        let needless: Vec<_> = needless.map(|(right, _)| *right).collect();
        if !needless.is_empty() {
            let needless = needless.join(" and ");
            let more = format!("; it gives {needless} on `{repository}`, which nothing here needs");
            self.message.push_str(&more);
        }
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
    // Who is let in may be allowed anything there, with or without a login.
    let unknown_if_in = if is_in { None } else { Some(false) };
    Tested {
        healthy: is_in,
        latency_ms: u64::try_from(ping.latency.as_millis()).unwrap_or(u64::MAX),
        message,
        auth,
        can: RemoteRights {
            pull: Some(is_in),
            push: unknown_if_in,
            delete: unknown_if_in,
            create: unknown_if_in,
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
