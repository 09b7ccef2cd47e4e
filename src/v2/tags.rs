//! `GET /v2/<name>/tags/list` (distribution-spec, "Listing tags").

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};
use serde::Serialize;

use super::{
    Edge,
    answer::{Reply, provenance},
    endpoint::PageQuery,
    error::ApiError,
    page::{next_link, page},
};
use crate::{
    mirror::Repository,
    oci::{Name, Path, error_code::ErrorCode},
};

#[derive(Serialize)]
struct TagList<'a> {
    /// As the client asked for it.
    name: &'a str,
    tags: Vec<&'a str>,
}

impl Edge {
    /// `asked`: the name as the client wrote it, which body and link repeat.
    pub(super) async fn list_tags(
        &self,
        repository: &Repository,
        asked: &Name,
        query: &PageQuery,
        ns: Option<&str>,
    ) -> Result<Reply, ApiError> {
        let answer = self
            .parts
            .mirror
            .list_tags(repository)
            .await
            .map_err(|error| ApiError::mirror(error, ErrorCode::NameUnknown))?;
        let mut response = list(asked, &answer.content, query, ns);
        provenance(response.headers_mut(), answer.outcome, answer.age);
        Ok(Reply {
            response,
            outcome: answer.outcome,
        })
    }
}

pub(super) fn list(
    asked: &Name,
    sorted: &[impl AsRef<str>],
    query: &PageQuery,
    ns: Option<&str>,
) -> Response {
    let (tags, next) = page(sorted, query);
    let body = serde_json::to_vec(&TagList {
        name: asked.as_str(),
        tags: tags.iter().map(AsRef::as_ref).collect(),
    })
    .expect("strings serialise");
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(last) = next {
        let path = Path::Tags {
            name: asked.clone(),
        };
        let n = query.n.map(|n| n.to_string());
        headers.insert(
            header::LINK,
            next_link(
                &path.to_string(),
                &[("n", n.as_deref()), ("last", Some(last)), ("ns", ns)],
            ),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn text(response: Response) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_page_names_the_repository_as_asked_and_links_to_the_next() {
        let query = PageQuery {
            n: Some(1),
            last: None,
        };
        let name: Name = "nginx".parse().unwrap();
        let response = list(&name, &["1", "2"], &query, Some("docker.io"));
        assert_eq!(
            response.headers()["link"],
            "</v2/nginx/tags/list?n=1&last=1&ns=docker.io>; rel=\"next\""
        );
        assert_eq!(text(response).await, r#"{"name":"nginx","tags":["1"]}"#);
    }

    #[tokio::test]
    async fn an_empty_page_has_a_list_and_no_link() {
        let query = PageQuery {
            n: Some(0),
            last: None,
        };
        let response = list(&"nginx".parse().unwrap(), &["1"], &query, None);
        assert!(!response.headers().contains_key("link"));
        assert_eq!(text(response).await, r#"{"name":"nginx","tags":[]}"#);
    }
}
