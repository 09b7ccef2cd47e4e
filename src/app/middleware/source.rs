//! Each request carries whom it comes from, and how its client asked if a trusted proxy says so.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderMap;
use ipnet::IpNet;

use super::client_address::{Peer, client_address};
use crate::access::{Forwarded, Source};

const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_FORWARDED_HOST: &str = "x-forwarded-host";

pub(in crate::app) async fn assign_source(
    State(trusted_proxies): State<Arc<[IpNet]>>,
    mut request: Request,
    next: Next,
) -> Response {
    // Only what came in by no listener has no peer.
    if let Some(Peer(peer)) = request.extensions().get().copied() {
        let peer = peer.ip().to_canonical();
        let address = client_address(peer, request.headers(), &trusted_proxies);
        request.extensions_mut().insert(Source::of(address));
        if trusted_proxies.iter().any(|net| net.contains(&peer)) {
            let forwarded = forwarded(request.headers());
            request.extensions_mut().insert(forwarded);
        }
    }
    next.run(request).await
}

fn forwarded(headers: &HeaderMap) -> Forwarded {
    // Of several proxies, the last one is trusted.
    let last = |name: &str| {
        let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
        Some(line.rsplit(',').next()?.trim())
    };
    Forwarded {
        scheme: match last(X_FORWARDED_PROTO) {
            Some("https") => Some("https"),
            Some("http") => Some("http"),
            _ => None,
        },
        host: last(X_FORWARDED_HOST).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_proxy_says_how_the_client_asked() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_PROTO, "http, https".parse().unwrap());
        headers.insert(X_FORWARDED_HOST, "mirror.example.com".parse().unwrap());
        let seen = forwarded(&headers);
        assert_eq!(seen.scheme, Some("https"));
        assert_eq!(seen.host.as_deref(), Some("mirror.example.com"));
    }

    #[test]
    fn what_is_no_scheme_says_nothing() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_PROTO, "javascript".parse().unwrap());
        assert_eq!(forwarded(&headers).scheme, None);
    }
}
