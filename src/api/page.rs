//! Lists in pages: `?limit=&after=`, `{"items": […]}`, `Link: <…>; rel="next"` and `X-Total-Count`.

use std::str::FromStr;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};
use url::form_urlencoded::Serializer;
use utoipa::ToSchema;

use super::{PREFIX, query::Fields};

const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
const DEFAULT_LIMIT: Limit = Limit(100);
const MAX_LIMIT: u32 = 1000;

/// How many items a page may have: 1 to 1000, 100 if not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit(u32);

impl Limit {
    pub(super) fn read(fields: &mut Fields) -> Self {
        // What is wrong is told when the fields are finished.
        fields.optional("limit").unwrap_or(DEFAULT_LIMIT)
    }

    pub(super) fn get(self) -> u32 {
        self.0
    }

    /// Asked for, one item more tells whether there is a next page.
    pub(super) fn and_one(self) -> u32 {
        self.0 + 1
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(limit @ 1..=MAX_LIMIT) => Ok(Self(limit)),
            _ => Err(format!("expected a number from 1 to {MAX_LIMIT}")),
        }
    }
}

/// One page of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Items<T> {
    pub items: Vec<T>,
}

/// One page, and what leads to the next.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Of the whole list.
    pub(super) total: u64,
    /// Path and query of the next page.
    pub(super) next: Option<String>,
}

/// The path and query of the next page; parameters without a value are left out.
pub(super) fn next_page(path: &str, limit: Limit, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("limit", &limit.get().to_string());
    for (key, value) in parameters {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    format!("{PREFIX}{path}?{}", query.finish())
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let mut response = Json(Items { items: self.items }).into_response();
        let headers = response.headers_mut();
        headers.insert(X_TOTAL_COUNT, HeaderValue::from(self.total));
        if let Some(next) = self.next {
            let link = HeaderValue::try_from(format!("<{next}>; rel=\"next\""));
            headers.insert(
                header::LINK,
                link.expect("paths of ours and encoded parameters are visible ASCII"),
            );
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_from_1_to_1000() {
        for text in ["0", "-1", "1001", "x", "", "99999999999"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
        assert_eq!("1000".parse(), Ok(Limit(1000)));
    }

    #[test]
    fn a_page_says_how_many_there_are_and_where_the_next_begins() {
        let parameters = [("project", None), ("after", Some("a/b:1+2"))];
        let page = Page {
            items: vec![1, 2],
            total: 5,
            next: Some(next_page("/cache", Limit(2), &parameters)),
        };
        let response = page.into_response();
        assert_eq!(response.headers()["x-total-count"], "5");
        assert_eq!(
            response.headers()["link"],
            "</api/v1/cache?limit=2&after=a%2Fb%3A1%2B2>; rel=\"next\""
        );
    }
}
