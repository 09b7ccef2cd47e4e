//! `/search`: projects and repositories by a part of their names.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use axum::{
    Extension, Json,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header, request};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, Kind, ListedRepository, Visibility,
    page::{Limit, List},
    problem::Problem,
    query::Fields,
    repositories::{Names, listed},
};
use crate::{access::Caller, oci::Name};

const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// What was found, the nearest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Found {
    /// On the first page only
    pub projects: Vec<FoundProject>,
    pub repositories: Vec<ListedRepository>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FoundProject {
    pub name: String,
    pub kind: Kind,
    pub visibility: Visibility,
}

/// What is looked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// Names that have this in them, in whatever case
    #[param(value_type = String, example = "nginx")]
    q: String,
    /// At most so many repositories: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<String>)]
    after: Option<After>,
}

/// How near a name is to what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    /// The whole name, or all of it after some slash, is it.
    Exact,
    /// The name, or what is after some slash, begins with it.
    Prefix,
    Inside,
}

/// The last repository of the page before.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct After {
    nearness: Nearness,
    name: Name,
}

#[utoipa::path(
    get, path = "/search", tag = "search", operation_id = "search", params(SearchQuery),
    responses(
        (status = 200, description = "What the caller may pull: exact matches first, then names that begin so", body = Found,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn search(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: SearchQuery,
) -> Result<Response, Problem> {
    let projects = api.parts.projects.now();
    let wanted = query.q.to_lowercase();
    let limit = query.limit.get() as usize;
    // The nearest ones after the page before, one more than the page has.
    let mut page: BTreeMap<After, ListedRepository> = BTreeMap::new();
    let mut total = 0_u64;
    let mut names = Names::new(&api, &wanted);
    while let Some(name) = names.next().await? {
        if !projects.may_pull(&caller, &name) {
            continue;
        }
        let Some(repository) = listed(&projects, &name) else {
            continue;
        };
        total += 1;
        let nearness = nearness(name.as_str(), &wanted);
        let key = After { nearness, name };
        if query.after.as_ref().is_none_or(|after| key > *after) {
            page.insert(key, repository);
            if page.len() > limit + 1 {
                page.pop_last();
            }
        }
    }
    let list = List {
        path: "/search",
        parameters: &[("q", Some(query.q.as_str()))],
        limit: query.limit,
    };
    let mut repositories: Vec<_> = page.into_iter().collect();
    let next = list.cut(&mut repositories, |(last, _)| last.to_string());
    let repositories = repositories.into_iter().map(|(_, repository)| repository);
    let found = Found {
        projects: match query.after {
            None => found_projects(&api, &caller, &wanted),
            Some(_) => Vec::new(),
        },
        repositories: repositories.collect(),
    };
    let mut response = Json(found).into_response();
    let headers = response.headers_mut();
    headers.insert(X_TOTAL_COUNT, HeaderValue::from(total));
    if let Some(next) = next {
        headers.insert(header::LINK, next);
    }
    Ok(response)
}

fn found_projects(api: &Api, caller: &Caller, wanted: &str) -> Vec<FoundProject> {
    let projects = api.parts.projects.now();
    let mut names = projects.visible(caller);
    names.retain(|name| name.contains(wanted));
    names.sort_by_key(|name| nearness(name, wanted));
    let found = names.iter().filter_map(|name| {
        let project = projects.get(name)?;
        Some(FoundProject {
            name: name.clone(),
            kind: if project.is_mirror() {
                Kind::Mirror
            } else {
                Kind::Hosted
            },
            visibility: project.visibility.into(),
        })
    });
    found.collect()
}

fn nearness(name: &str, wanted: &str) -> Nearness {
    let ends =
        || std::iter::once(name).chain(name.match_indices('/').map(|(at, _)| &name[at + 1..]));
    if ends().any(|end| end == wanted) {
        Nearness::Exact
    } else if ends().any(|end| end.starts_with(wanted)) {
        Nearness::Prefix
    } else {
        Nearness::Inside
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nearness = match self.nearness {
            Nearness::Exact => 'e',
            Nearness::Prefix => 'p',
            Nearness::Inside => 'i',
        };
        write!(f, "{nearness}:{}", self.name)
    }
}

impl FromStr for After {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let expected = "expected the value from the `Link` of the page before";
        let (nearness, name) = text.split_once(':').ok_or(expected)?;
        let nearness = match nearness {
            "e" => Nearness::Exact,
            "p" => Nearness::Prefix,
            "i" => Nearness::Inside,
            _ => return Err(expected),
        };
        let name = name.parse().map_err(|_| expected)?;
        Ok(Self { nearness, name })
    }
}

impl<S: Sync> FromRequestParts<S> for SearchQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let q = fields.required("q");
        let limit = Limit::read(&mut fields);
        let after = fields.optional("after");
        fields.finish(q.map(|q| Self { q, limit, after }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearest_comes_first() {
        let mut names = [
            "docker.io/library/nginx",
            "nginx",
            "team/my-nginx",
            "team/nginx-exporter",
            "x/nginx/a",
        ];
        names.sort_by_key(|name| (nearness(name, "nginx"), *name));
        assert_eq!(
            names,
            [
                "docker.io/library/nginx",
                "nginx",
                "team/nginx-exporter",
                "x/nginx/a",
                "team/my-nginx"
            ]
        );
    }

    #[test]
    fn a_place_in_the_list_is_read_as_it_was_written() {
        let after = After {
            nearness: Nearness::Prefix,
            name: "team/nginx".parse().unwrap(),
        };
        let read: After = after.to_string().parse().unwrap();
        assert!(read == after);
        assert!("x:team".parse::<After>().is_err());
    }
}
