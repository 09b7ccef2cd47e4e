//! Each request carries whom it comes from, for those who limit and log.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;

use super::client_address::{Peer, client_address};
use crate::access::Source;

pub(in crate::app) async fn assign_source(
    State(trusted_proxies): State<Arc<[IpNet]>>,
    mut request: Request,
    next: Next,
) -> Response {
    // Only what came in by no listener has no peer.
    if let Some(Peer(peer)) = request.extensions().get().copied() {
        let address = client_address(peer.ip(), request.headers(), &trusted_proxies);
        request.extensions_mut().insert(Source::of(address));
    }
    next.run(request).await
}
