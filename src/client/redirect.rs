//! Redirects, followed by hand: few hops, no loops, never from https to http, and only where the guard lets us.

use http::{HeaderMap, StatusCode, header};
use url::Url;

use super::guard::Guard;

const MAX_HOPS: usize = 5;

/// Where a chain of redirects has led so far.
pub(super) struct Trail<'g> {
    guard: &'g Guard,
    /// The first is the URL asked, the last where we are.
    visited: Vec<Url>,
    left_origin: bool,
}

impl<'g> Trail<'g> {
    pub(super) fn new(guard: &'g Guard, start: Url) -> Self {
        Self {
            guard,
            visited: vec![start],
            left_origin: false,
        }
    }

    /// Where we are.
    pub(super) fn url(&self) -> &Url {
        self.visited.last().expect("a trail begins with its start")
    }

    /// True once scheme, host or port changed: credentials stay behind, for good.
    pub(super) fn left_origin(&self) -> bool {
        self.left_origin
    }

    /// Goes on to where an answer leads. False: it leads nowhere, it is the answer. The error says why not.
    pub(super) fn follow(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<bool, String> {
        let Some(location) = location(status, headers) else {
            return Ok(false);
        };
        let next = self.resolve(location)?;
        self.left_origin |= next.origin() != self.url().origin();
        self.visited.push(next);
        Ok(true)
    }

    fn resolve(&self, location: &[u8]) -> Result<Url, String> {
        let text = std::str::from_utf8(location).ok();
        let mut next = text
            .and_then(|text| self.url().join(text).ok())
            .ok_or("redirects to what is no URL")?;
        next.set_fragment(None);
        if self.visited.len() > MAX_HOPS {
            return Err(format!("redirects more than {MAX_HOPS} times"));
        }
        if self.visited.contains(&next) {
            return Err("redirects in a loop".to_owned());
        }
        match (self.url().scheme(), next.scheme()) {
            (_, "https") | ("http", "http") => {}
            ("https", "http") => return Err("redirects from https to http".to_owned()),
            _ => return Err("redirects to something that is not http".to_owned()),
        }
        // Credentials in a URL would become an Authorization header.
        if !next.username().is_empty() || next.password().is_some() {
            return Err("redirects to a URL with credentials in it".to_owned());
        }
        self.guard
            .check(&next)
            .map_err(|refused| refused.to_string())?;
        Ok(next)
    }
}

fn location(status: StatusCode, headers: &HeaderMap) -> Option<&[u8]> {
    let redirects = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = headers.get(header::LOCATION)?;
    redirects.then_some(location.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Follows redirects one after the other; gives the refusal or (where it ended, left the origin).
    fn walk(start: &str, hops: &[&str]) -> Result<(String, bool), String> {
        let start: Url = start.parse().unwrap();
        let guard = Guard::new(&start, &[], HashSet::new());
        let mut trail = Trail::new(&guard, start);
        for hop in hops {
            let headers = HeaderMap::from_iter([(header::LOCATION, hop.parse().unwrap())]);
            assert!(trail.follow(StatusCode::TEMPORARY_REDIRECT, &headers)?);
        }
        Ok((trail.url().to_string(), trail.left_origin()))
    }

    #[test]
    fn the_same_origin_keeps_its_credentials_and_another_never_gets_them_back() {
        let at = |url: &str, left| Ok((url.to_owned(), left));
        assert_eq!(
            walk("https://r.io/v2/x", &["/y"]),
            at("https://r.io/y", false)
        );
        assert_eq!(
            walk("https://r.io/v2/x", &["https://r.io:8443/y"]),
            at("https://r.io:8443/y", true)
        );
        assert_eq!(
            walk("http://r.io/x", &["https://r.io/y"]),
            at("https://r.io/y", true)
        );
        assert_eq!(
            walk("https://r.io/x", &["https://cdn.io/y", "https://r.io/z"]),
            at("https://r.io/z", true)
        );
    }

    #[test]
    fn https_never_leads_to_http_and_nothing_leads_to_other_schemes() {
        assert!(walk("https://r.io/x", &["http://r.io/x"]).is_err());
        assert!(walk("https://r.io/x", &["file:///etc/passwd"]).is_err());
        assert!(walk("https://r.io/x", &["https://u:p@cdn.io/x"]).is_err());
    }

    #[test]
    fn loops_and_long_chains_end() {
        assert!(walk("https://r.io/x", &["/y", "/x"]).is_err());
        assert!(walk("https://r.io/0", &["/1", "/2", "/3", "/4", "/5"]).is_ok());
        assert!(walk("https://r.io/0", &["/1", "/2", "/3", "/4", "/5", "/6"]).is_err());
    }

    #[test]
    fn link_local_addresses_are_refused() {
        assert!(walk("https://r.io/x", &["https://169.254.169.254/"]).is_err());
        assert!(walk("http://127.0.0.1/x", &["http://[fe80::1]/"]).is_err());
    }
}
