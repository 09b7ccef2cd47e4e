//! How many requests of the Distribution API are answered at once, over all and for one client, and who is next.
//!
//! A request is in progress until the headers of its answer are there: while rows are read and remotes are waited for.
//! Bodies are not counted: slow readers are many, cost little, and must not block those who want a manifest.
//!
//! A client that leaves before its answer keeps its place for [`ABANDONED`]: what was begun for it goes on without it, and
//! streams that are opened and reset at once would cost their client nothing.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::Method;
use ipnet::IpNet;

use super::{
    client_address::{Peer, client_address},
    rate::Rates,
    turns::{Limits, NoTurn, Turn, Turns},
};
use crate::{access::Source, config, v2};

const ABANDONED: Duration = Duration::from_secs(1);
/// When to come again, in seconds.
const RETRY_AFTER: u64 = 2;

/// For the whole process. A request that waits costs a task and its buffers, not a thread: there are many places, and the
/// limit is for floods. One client leaves half of them to others. The wait is one that clients bear without a word.
const LIMITS: Limits = Limits {
    running: 2048,
    running_of_client: 1024,
    waiting: 4096,
    waiting_of_client: 1024,
    patience: Duration::from_secs(5),
};

/// Requests that bring content are in progress until all of it is here, and each has a file, or parts of an object, open.
const UPLOADS: Limits = Limits {
    running: 512,
    running_of_client: 256,
    waiting: 1024,
    waiting_of_client: 512,
    patience: Duration::from_secs(5),
};

/// What the layer needs; cheap to clone.
#[derive(Clone)]
pub(in crate::app) struct RequestLimit {
    turns: Turns,
    uploads: Turns,
    rates: Option<Rates>,
    trusted_proxies: Arc<[IpNet]>,
}

impl RequestLimit {
    pub(in crate::app) fn new(server: &config::Server) -> Self {
        let rates = server.requests_per_second.map(Rates::new);
        let trusted_proxies = server.trusted_proxies.clone();
        Self {
            rates,
            ..Self::with_limits(LIMITS, UPLOADS, trusted_proxies)
        }
    }

    fn with_limits(limits: Limits, uploads: Limits, trusted_proxies: Vec<IpNet>) -> Self {
        Self {
            turns: Turns::new(limits),
            uploads: Turns::new(uploads),
            rates: None,
            trusted_proxies: trusted_proxies.into(),
        }
    }

    fn turns_for(&self, method: &Method) -> &Turns {
        match *method {
            Method::POST | Method::PUT | Method::PATCH => &self.uploads,
            _ => &self.turns,
        }
    }
}

pub(in crate::app) async fn limit_requests(
    State(limit): State<RequestLimit>,
    request: Request,
    next: Next,
) -> Response {
    // Only what came in by no listener has no peer.
    let Some(Peer(peer)) = request.extensions().get().copied() else {
        return next.run(request).await;
    };
    let address = client_address(peer.ip(), request.headers(), &limit.trusted_proxies);
    let client = Source::of(address);
    let counted = limit.rates.as_ref().map(|rates| rates.count(client));
    if let Some(Err(wait)) = counted {
        // Rounded up: earlier would be too early.
        return v2::too_many_a_second(wait.as_secs() + 1);
    }
    let turn = match limit.turns_for(request.method()).take(client).await {
        Ok(turn) => turn,
        Err(NoTurn::Busy) => return v2::busy(RETRY_AFTER),
        Err(NoTurn::TooMany) => return v2::too_many_at_once(RETRY_AFTER),
    };
    let mut progress = Progress(Some(turn));
    let response = next.run(request).await;
    progress.0 = None;
    response
}

/// A request that is being answered; dropped before its answer, its client has left.
struct Progress(Option<Turn>);

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(turn) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                tokio::time::sleep(ABANDONED).await;
                drop(turn);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn_with_state, routing::get};
    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;
    use tower::ServiceExt;

    use super::*;

    const FEW: Limits = Limits {
        running: 3,
        running_of_client: 2,
        waiting: 2,
        waiting_of_client: 1,
        patience: Duration::from_secs(5),
    };

    /// `/v2/` answers for each permit of the gate; its body never ends.
    fn router(gate: &Arc<Semaphore>) -> Router {
        let limit = RequestLimit::with_limits(FEW, FEW, vec!["10.0.0.0/8".parse().unwrap()]);
        router_with(gate, limit)
    }

    fn router_with(gate: &Arc<Semaphore>, limit: RequestLimit) -> Router {
        let gate = Arc::clone(gate);
        let handler = move || async move {
            gate.acquire().await.expect("it stays open").forget();
            Body::from_stream(futures_util::stream::pending::<std::io::Result<bytes::Bytes>>())
        };
        Router::new()
            .route("/v2/", get(handler.clone()).put(handler))
            .route_layer(from_fn_with_state(limit, limit_requests))
            .route("/healthz", get(|| async { "ok" }))
    }

    async fn ask(router: &Router, peer: &str, path: &str) -> Response {
        let request = http::Request::get(path)
            .header("x-forwarded-for", "198.51.100.1")
            .extension(Peer(format!("{peer}:1").parse().unwrap()))
            .body(Body::empty())
            .unwrap();
        router.clone().oneshot(request).await.unwrap()
    }

    /// Questions that wait.
    async fn flood(
        router: &Router,
        peer: &'static str,
        count: usize,
    ) -> Vec<tokio::task::JoinHandle<Response>> {
        let mut asked = Vec::new();
        for _ in 0..count {
            let router = router.clone();
            asked.push(tokio::spawn(
                async move { ask(&router, peer, "/v2/").await },
            ));
            tokio::task::yield_now().await;
        }
        asked
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_429_and_everybody_else_is_answered() {
        let gate = Arc::new(Semaphore::new(0));
        let router = router(&gate);
        let flood = flood(&router, "192.0.2.1", 3).await;
        let refused = ask(&router, "192.0.2.1", "/v2/").await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (429, &"2".parse().unwrap())
        );
        let body = refused.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("TOOMANYREQUESTS"), "{body}");
        assert!(body.contains("requests in progress"), "{body}");
        assert_eq!(ask(&router, "192.0.2.1", "/healthz").await.status(), 200);
        let other = tokio::spawn({
            let router = router.clone();
            async move { ask(&router, "192.0.2.2", "/v2/").await }
        });
        gate.add_permits(4);
        assert_eq!(other.await.unwrap().status(), 200);
        for asked in flood {
            assert_eq!(asked.await.unwrap().status(), 200);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_have_places_of_their_own() {
        let gate = Arc::new(Semaphore::new(0));
        let router = router(&gate);
        let _pulls = flood(&router, "192.0.2.1", 3).await;
        assert_eq!(ask(&router, "192.0.2.1", "/v2/").await.status(), 429);
        let put = || {
            let request = http::Request::put("/v2/")
                .extension(Peer("192.0.2.1:1".parse().unwrap()))
                .body(Body::empty())
                .unwrap();
            router.clone().oneshot(request)
        };
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(tokio::spawn(put()));
            tokio::task::yield_now().await;
        }
        assert_eq!(put().await.unwrap().status(), 429);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_nobody_reads_take_no_place() {
        let gate = Arc::new(Semaphore::new(100));
        let router = router(&gate);
        let mut unread = Vec::new();
        for _ in 0..50 {
            unread.push(ask(&router, "192.0.2.1", "/v2/").await);
        }
        assert!(unread.iter().all(|answer| answer.status() == 200));
    }

    #[tokio::test(start_paused = true)]
    async fn clients_behind_a_trusted_proxy_are_told_apart() {
        let gate = Arc::new(Semaphore::new(0));
        let router = router(&gate);
        // Both name the same client.
        let _flood = [
            flood(&router, "10.0.0.1", 2).await,
            flood(&router, "10.0.0.2", 1).await,
        ];
        assert_eq!(ask(&router, "10.0.0.3", "/v2/").await.status(), 429);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_keeps_its_place_for_a_while() {
        let gate = Arc::new(Semaphore::new(0));
        let router = router(&gate);
        for asked in flood(&router, "192.0.2.1", 2).await {
            asked.abort();
            let _ = asked.await;
        }
        gate.add_permits(1);
        let began = tokio::time::Instant::now();
        assert_eq!(ask(&router, "192.0.2.1", "/v2/").await.status(), 200);
        assert!(began.elapsed() >= ABANDONED, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_too_often_is_told_that() {
        let gate = Arc::new(Semaphore::new(100));
        let limit = RequestLimit {
            rates: Some(Rates::new(std::num::NonZeroU32::MIN)),
            ..RequestLimit::with_limits(FEW, FEW, Vec::new())
        };
        let router = router_with(&gate, limit);
        let mut answer = ask(&router, "192.0.2.1", "/v2/").await;
        for _ in 0..20 {
            answer = ask(&router, "192.0.2.1", "/v2/").await;
        }
        assert_eq!(answer.status(), 429);
        assert!(answer.headers().contains_key("retry-after"));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("too many requests a second"), "{body}");
    }
}
