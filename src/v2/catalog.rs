//! `GET /v2/_catalog`: the repositories that this caller may pull from, a page at a time. Not in the OCI specification, but asked
//! for by tools; as in the Docker registry API.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};
use serde::Serialize;

use super::{Edge, Listener, endpoint::PageQuery, error::ApiError, page::next_link};
use crate::{
    access::Caller,
    oci::{Name, Path},
};

/// A page has no more than this, whatever `n` says.
const MAX_PAGE: usize = 1000;

#[derive(Serialize)]
struct Catalog<'a> {
    repositories: Vec<&'a str>,
}

impl Edge {
    pub(super) async fn catalog(
        &self,
        caller: &Caller,
        query: &PageQuery,
    ) -> Result<Response, ApiError> {
        let known = self.parts.projects.now();
        let mut projects = known.visible(caller);
        if self.listener == Listener::MirrorOnly {
            projects.retain(|project| known.is_mirror(project));
        }
        let count = query.n.unwrap_or(MAX_PAGE).min(MAX_PAGE);
        let mut names = Vec::new();
        let mut last = query.last.clone();
        loop {
            // One more tells whether there is a next page.
            let page = self.page(&projects, last.as_deref(), count + 1).await?;
            last = page.last().map(Name::to_string);
            let is_whole = page.len() > count;
            names.extend(page.into_iter().filter(|name| known.may_pull(caller, name)));
            if names.len() > count || !is_whole {
                return Ok(list(&names, count));
            }
        }
    }

    async fn page(
        &self,
        projects: &[String],
        last: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Name>, ApiError> {
        let limit = u32::try_from(limit).expect("a page is small");
        let page = self.parts.meta.repositories(projects, last, limit).await;
        page.map_err(|error| {
            tracing::error!(%error, "cannot read the list of repositories: {error}");
            ApiError::internal()
        })
    }
}

/// `found` is up to one name more than `count`.
fn list(found: &[Name], count: usize) -> Response {
    let shown = &found[..count.min(found.len())];
    let body = serde_json::to_vec(&Catalog {
        repositories: shown.iter().map(Name::as_str).collect(),
    })
    .expect("strings serialise");
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let (true, Some(last)) = (found.len() > count, shown.last()) {
        let n = count.to_string();
        headers.insert(
            header::LINK,
            next_link(
                &Path::Catalog.to_string(),
                &[("n", Some(&n)), ("last", Some(last.as_str()))],
            ),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_with_a_successor_links_to_it() {
        let names: Vec<Name> = ["a/1", "a/2"].map(|n| n.parse().unwrap()).to_vec();
        assert_eq!(
            list(&names, 1).headers()["link"],
            "</v2/_catalog?n=1&last=a%2F1>; rel=\"next\""
        );
        assert!(!list(&names, 2).headers().contains_key("link"));
        assert!(!list(&names[..1], 0).headers().contains_key("link"));
    }
}
