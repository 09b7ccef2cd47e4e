//! One request from its first line to its response: parse, who asks, which repository, answer, headers of all answers.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use http::{HeaderValue, StatusCode, header, request};
use http_body_util::BodyExt;

use super::{
    Edge, Listener, Parts,
    answer::Reply,
    challenge::TOKEN_PATH,
    endpoint::{Endpoint, Pull, Query},
    error::ApiError,
    referrers::Question,
    token::token,
    uploads::Pusher,
};
use crate::{
    access::Right,
    config::Project,
    mirror::Repository,
    oci::{
        Name,
        header::{DOCKER_DISTRIBUTION_API_VERSION, OCI_NAMESPACE},
    },
};

/// A body that no endpoint takes is read this far.
const MAX_IGNORED_BODY: usize = 16 << 20;
const IGNORED_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Left on each response for those who log and count.
#[derive(Clone)]
pub struct Served {
    /// What was asked for: manifest, blob, tags, …
    pub kind: &'static str,
    /// The project that answered, once it is known.
    pub project: Option<Arc<Project>>,
}

/// The routes of the Distribution API.
pub fn router(parts: Parts, listener: Listener) -> Router {
    // Names have any depth and captures do not, so one wildcard leads to one parser.
    let routes = Router::new()
        .route("/v2", any(dispatch))
        .route("/v2/", any(dispatch))
        .route("/v2/{*path}", any(dispatch));
    let routes = match listener {
        Listener::Main => routes.route(TOKEN_PATH, any(token)),
        Listener::MirrorOnly => routes,
    };
    routes.with_state(Arc::new(Edge { parts, listener }))
}

async fn dispatch(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let (request, mut body) = request.into_parts();
    let query = Query::parse(request.uri.query());
    let mut served = Served {
        kind: "unknown",
        project: None,
    };
    let mut response = edge
        .answer(&request, &mut body, &query, &mut served)
        .await
        .unwrap_or_else(|error| edge.refuse(error, &request, &query));
    // Who waits for leave to send its body does not get it.
    if !http_body::Body::is_end_stream(&body) && !request.headers.contains_key(header::EXPECT) {
        edge.parts.tasks.spawn(ignore_body(body));
    }
    let headers = response.headers_mut();
    headers.insert(
        DOCKER_DISTRIBUTION_API_VERSION,
        HeaderValue::from_static("registry/2.0"),
    );
    // distribution-spec, "Registry Proxying": the namespace is echoed.
    if let Some(ns) = query.ns.and_then(|ns| HeaderValue::try_from(ns).ok()) {
        headers.insert(OCI_NAMESPACE, ns);
    }
    response.extensions_mut().insert(served);
    response
}

/// Reads, beside the answer, what no endpoint has read: a client may look for the answer (a 416 tells where to go on) only
/// once all is sent, and would lose it with a connection that is closed before (RFC 9112, 9.6). What is longer or slower
/// costs the client its connection.
async fn ignore_body(mut body: Body) {
    let drained = async {
        let mut left = MAX_IGNORED_BODY;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, bytes::Bytes::len);
            let Some(rest) = left.checked_sub(size) else {
                return;
            };
            left = rest;
        }
    };
    // Not read to its end: the HTTP server closes the connection.
    let _ = tokio::time::timeout(IGNORED_BODY_TIMEOUT, drained).await;
}

impl Edge {
    async fn answer(
        &self,
        request: &request::Parts,
        body: &mut Body,
        query: &Query,
        served: &mut Served,
    ) -> Result<Response, ApiError> {
        let caller = &self.caller(request).await?;
        let endpoint = Endpoint::parse(&request.method, request.uri.path(), query)?;
        served.kind = endpoint.kind();
        let ns = self.foreign_ns(query.ns.as_deref(), &request.uri, &request.headers);
        let (name, what) = match &endpoint {
            Endpoint::Base => return self.base(caller, &request.headers),
            Endpoint::Catalog(page) => {
                self.admit(caller)?;
                let caller = caller.for_catalog().ok_or_else(|| {
                    ApiError::insufficient_scope("this token is not for the list of repositories")
                })?;
                return self.catalog(&caller, page).await;
            }
            Endpoint::Push { name, what } => {
                let repository = self.pushable(caller, name, ns).await?;
                served.project = Some(Arc::clone(&repository.project));
                let repository = &repository;
                let pusher = Pusher { caller, repository };
                // Boxed: these futures are large, and most requests pull.
                return Box::pin(self.push(what, pusher, &request.headers, body)).await;
            }
            Endpoint::Delete { name, what } => {
                let repository = self.writable(caller, name, ns, Right::Delete)?;
                served.project = Some(Arc::clone(&repository.project));
                return Box::pin(self.delete(what, &repository, &request.headers)).await;
            }
            Endpoint::Pull { name, what } => (name, what),
        };
        self.admit(caller)?;
        let (project, name, result) = if let Some(repository) = self.hosted(caller, name, ns) {
            served.project = Some(Arc::clone(&repository.project));
            let pull = self.pull_hosted(what, &repository, &request.headers);
            let result = pull.await;
            (repository.project, repository.name, result)
        } else {
            let repository = self.repository(caller, name, ns)?;
            let repository = self.let_in(caller, repository, what, request).await?;
            served.project = Some(Arc::clone(&repository.project));
            let result = self.pull(what, &repository, name, request, ns).await;
            (repository.project, repository.name, result)
        };
        let result = self.with_tag_state(&name, what, &request.headers, result);
        let result = result.await;
        self.parts
            .metrics
            .request(&project.name, served.kind, outcome(&result));
        result.map(|reply| reply.response)
    }

    async fn pull(
        &self,
        what: &Pull,
        repository: &Repository,
        asked: &Name,
        request: &request::Parts,
        ns: Option<&str>,
    ) -> Result<Reply, ApiError> {
        let headers = &request.headers;
        match what {
            Pull::GetManifest(reference) => self.get_manifest(repository, reference, headers).await,
            Pull::HeadManifest(reference) => {
                self.head_manifest(repository, reference, headers).await
            }
            Pull::GetBlob(digest) => self.get_blob(repository, digest, headers).await,
            Pull::HeadBlob(digest) => self.head_blob(repository, digest, headers).await,
            Pull::ListTags(page) => self.list_tags(repository, asked, page, ns).await,
            Pull::ListReferrers {
                subject,
                artifact_type,
                after,
            } => {
                let question = Question {
                    asked,
                    subject,
                    artifact_type: artifact_type.as_deref(),
                    after: after.as_deref(),
                    ns,
                };
                self.list_referrers(repository, &question).await
            }
        }
    }
}

/// The word for `entrepot_requests_total`.
fn outcome(result: &Result<Reply, ApiError>) -> &'static str {
    match result {
        Ok(reply) => reply.outcome.as_str(),
        Err(error) if error.status() == StatusCode::NOT_FOUND => "absent",
        Err(_) => "error",
    }
}
