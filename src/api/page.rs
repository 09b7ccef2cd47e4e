//! Lists in pages: `?limit=&after=`, `{"items": […]}`, `Link: <…>; rel="next"` and `X-Total-Count`.

use std::{fmt::Display, str::FromStr};

use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header, request};
use serde::{Deserialize, Serialize};
use url::form_urlencoded::Serializer;
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{PREFIX, problem::Problem, query::Fields};

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

/// Which page of a list that has no other parameters; `A` leads on from the page before.
pub(super) struct PageQuery<A> {
    pub(super) limit: Limit,
    pub(super) after: Option<A>,
}

/// Which page of a list of names.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NamesQuery {
    /// Whose name has this in it
    #[param(value_type = Option<String>)]
    pub(super) q: Option<String>,
    /// At most so many: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<String>)]
    pub(super) after: Option<String>,
}

impl<A> IntoParams for PageQuery<A> {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = NamesQuery::into_params(place);
        parameters.retain(|parameter| parameter.name != "q");
        parameters
    }
}

impl NamesQuery {
    /// Leaves those that are asked for and not on a page before; how many were asked for.
    pub(super) fn retain<T>(&self, items: &mut Vec<T>, name: impl Fn(&T) -> &str) -> u64 {
        let wanted = self.q.as_deref().unwrap_or_default().to_lowercase();
        items.retain(|item| name(item).to_lowercase().contains(&wanted));
        let total = items.len() as u64;
        if let Some(after) = &self.after {
            items.retain(|item| name(item) > after.as_str());
        }
        total
    }
}

/// A list, as its next page is asked for.
pub(super) struct List<'a> {
    pub(super) path: &'a str,
    /// Those without a value are left out.
    pub(super) parameters: &'a [(&'a str, Option<&'a str>)],
    pub(super) limit: Limit,
}

/// One page, and what leads to the next.
pub(super) struct Page<T> {
    items: Vec<T>,
    /// Of the whole list.
    total: u64,
    next: Option<HeaderValue>,
}

impl List<'_> {
    /// A page of items that were read up to one more than asked for ([`Limit::and_one`]); `after` leads on from the last.
    pub(super) fn page<T>(
        &self,
        mut items: Vec<T>,
        total: u64,
        after: impl FnOnce(&T) -> String,
    ) -> Page<T> {
        let next = self.cut(&mut items, after);
        Page { items, total, next }
    }

    /// Cuts off what was read too much: then there is a next page, and this is the `Link` to it.
    pub(super) fn cut<T>(
        &self,
        items: &mut Vec<T>,
        after: impl FnOnce(&T) -> String,
    ) -> Option<HeaderValue> {
        let limit = self.limit.get() as usize;
        if items.len() <= limit {
            return None;
        }
        items.truncate(limit);
        let after = after(items.last()?);
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        for (key, value) in self.parameters {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
        query.append_pair("after", &after);
        let link = format!("<{PREFIX}{}?{}>; rel=\"next\"", self.path, query.finish());
        let link = HeaderValue::try_from(link);
        Some(link.expect("paths of ours and encoded parameters are visible ASCII"))
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let mut response = Json(Items { items: self.items }).into_response();
        let headers = response.headers_mut();
        headers.insert(X_TOTAL_COUNT, HeaderValue::from(self.total));
        if let Some(next) = self.next {
            headers.insert(header::LINK, next);
        }
        response
    }
}

impl<A: FromStr<Err: Display>, S: Sync> FromRequestParts<S> for PageQuery<A> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
    }
}

impl<S: Sync> FromRequestParts<S> for NamesQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            q: fields.optional("q"),
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
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
        let list = List {
            path: "/cache",
            parameters: &[("project", None), ("q", Some("x"))],
            limit: Limit(2),
        };
        let page = list.page(vec![1, 2, 3], 5, |last| format!("a/b:{last}+2"));
        assert_eq!(page.items, [1, 2]);
        let response = page.into_response();
        assert_eq!(response.headers()["x-total-count"], "5");
        assert_eq!(
            response.headers()["link"],
            "</api/v1/cache?limit=2&q=x&after=a%2Fb%3A2%2B2>; rel=\"next\""
        );
        let page = list.page(vec![1, 2], 2, |_| unreachable!("it is the last page"));
        assert!(!page.into_response().headers().contains_key("link"));
    }
}
