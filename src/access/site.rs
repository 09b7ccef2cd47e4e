//! This server's address as clients see it.

use http::{header, request, uri::Authority};

use super::Forwarded;

/// This server as clients see it.
#[derive(Debug, Clone)]
pub struct Site {
    /// `scheme://host[:port]`, if the configuration says it.
    pub public_url: Option<String>,
    /// Are the listeners' connections TLS?
    pub is_tls: bool,
}

impl Site {
    /// `scheme://host[:port]` by which the client that sent this can ask again.
    pub fn url(&self, request: &request::Parts) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let forwarded = request.extensions.get::<Forwarded>();
        let own_scheme = if self.is_tls { "https" } else { "http" };
        let scheme = forwarded.and_then(|forwarded| forwarded.scheme);
        let scheme = scheme.unwrap_or(own_scheme);
        let host = forwarded.and_then(|forwarded| forwarded.host.as_deref());
        let host = host.or(request.uri.authority().map(Authority::as_str));
        let asked = || request.headers.get(header::HOST)?.to_str().ok();
        let host = host.or_else(asked).filter(|host| is_host(host));
        format!("{scheme}://{}", host.unwrap_or("localhost"))
    }
}

/// It goes between quotes, and clients send their login there.
fn is_host(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !text.is_empty() && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::oci::fuzz::{near, search};

    fn request(host: &str) -> request::Parts {
        let request = http::Request::get("/v2/").header("host", host);
        request.body(()).unwrap().into_parts().0
    }

    fn site(public_url: Option<&str>, is_tls: bool) -> Site {
        Site {
            public_url: public_url.map(str::to_owned),
            is_tls,
        }
    }

    #[test]
    fn tokens_are_had_where_the_client_asked() {
        let plain = site(None, false).url(&request("mirror:5000"));
        assert_eq!(plain, "http://mirror:5000");
        let tls = site(None, true).url(&request("[::1]:5000"));
        assert_eq!(tls, "https://[::1]:5000");
    }

    #[test]
    fn the_configuration_and_then_a_trusted_proxy_know_better() {
        let mut request = request("10.0.0.1:5000");
        request.extensions.insert(Forwarded {
            scheme: Some("https"),
            host: Some("mirror.example.com".to_owned()),
        });
        let seen = site(None, false).url(&request);
        assert_eq!(seen, "https://mirror.example.com");
        let said = site(Some("https://public.example.com"), false).url(&request);
        assert_eq!(said, "https://public.example.com");
    }

    #[test]
    fn a_host_that_is_none_does_not_get_into_the_header() {
        let seen = site(None, false).url(&request("a\",scope=\"b"));
        assert_eq!(seen, "http://localhost");
    }

    #[test]
    fn whatever_nearly_is_a_host_the_realm_is_one_url_of_a_host() {
        let hosts = near(&["mirror.example.com:5000", "[::1]:5000", "10.0.0.1"]);
        search(hosts, |host| {
            let Ok(host) = HeaderValue::from_bytes(&host) else {
                return Ok(());
            };
            let request = http::Request::get("/v2/").header(header::HOST, host);
            let request = request.body(()).expect("headers are").into_parts().0;
            let seen = site(None, true).url(&request);
            let host = seen.strip_prefix("https://");
            prop_assert!(host.is_some_and(is_host), "{}", seen);
            Ok(())
        });
    }
}
