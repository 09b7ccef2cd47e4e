//! `/cache`: what mirror projects have of the images that were pulled through them; purge, refresh, pin.

use std::{str::FromStr, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, State},
};
use http::{StatusCode, request};
use utoipa::IntoParams;

use super::{
    Api,
    entry::{CacheEntry, EntryQuery},
    page::{Items, Limit, List, Page},
    problem::Problem,
    query::Fields,
};
use crate::{
    mirror::{Mirror, entry::Entry},
    oci::{Name, Reference, Tag},
};

/// Which page of the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only of this project
    #[param(value_type = Option<String>, example = "docker.io")]
    project: Option<String>,
    /// At most so many: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<String>)]
    after: Option<After>,
}

/// The last entry of the page before, as `name:tag`.
struct After {
    name: Name,
    tag: Tag,
}

#[utoipa::path(
    get, path = "/cache", tag = "cache", operation_id = "listCache", params(ListQuery),
    responses(
        (status = 200, description = "Cached tags, by name and then by tag", body = Items<CacheEntry>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    query: ListQuery,
) -> Result<Page<CacheEntry>, Problem> {
    let projects = projects(&api.parts.mirror, query.project.as_deref())?;
    let after = query.after.map(|after| (after.name, after.tag));
    let limit = query.limit;
    let entries = entries(&api.parts.mirror, &projects, after, limit.and_one()).await?;
    let total = api.parts.meta.tag_count(&projects).await?;
    let items: Vec<_> = entries.into_iter().map(CacheEntry::from).collect();
    let list = List {
        path: "/cache",
        parameters: &[("project", query.project.as_deref())],
        limit,
    };
    Ok(list.page(items, total, |last| {
        format!("{}:{}", last.name, last.reference)
    }))
}

#[utoipa::path(
    get, path = "/cache/entry", tag = "cache", operation_id = "getCacheEntry", params(EntryQuery),
    responses(
        (status = 200, description = "What is here of the image", body = CacheEntry),
        (status = 404, description = "Nothing of the image is here"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    query: EntryQuery,
) -> Result<Json<CacheEntry>, Problem> {
    let repository = query.repository(&api.parts.mirror)?;
    let entry = api
        .parts
        .mirror
        .entry(&repository, &query.reference)
        .await?;
    let entry = entry.ok_or_else(|| nothing_here(&query.written(&repository.name)))?;
    Ok(Json(entry.into()))
}

#[utoipa::path(
    delete, path = "/cache/entry", tag = "cache", operation_id = "purgeCacheEntry", params(EntryQuery),
    responses(
        (status = 204, description = "It is gone. A tag takes its image along unless something else wants it, a digest all tags of its image"),
        (status = 404, description = "Nothing of the image was here"),
    )
)]
pub(super) async fn purge(
    State(api): State<Arc<Api>>,
    query: EntryQuery,
) -> Result<StatusCode, Problem> {
    let repository = query.repository(&api.parts.mirror)?;
    if api
        .parts
        .mirror
        .purge(&repository, &query.reference)
        .await?
    {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(nothing_here(&query.written(&repository.name)))
    }
}

#[utoipa::path(
    post, path = "/cache/entry/refresh", tag = "cache", operation_id = "refreshCacheEntry", params(EntryQuery),
    responses(
        (status = 200, description = "The remote was asked; this is what is here now", body = CacheEntry),
        (status = 404, description = "The remote does not have it"),
        (status = 502, description = "The remote answered what cannot be used"),
        (status = 503, description = "The remote cannot be asked"),
        (status = 504, description = "The remote did not answer in time"),
    )
)]
pub(super) async fn refresh(
    State(api): State<Arc<Api>>,
    query: EntryQuery,
) -> Result<Json<CacheEntry>, Problem> {
    let repository = query.repository(&api.parts.mirror)?;
    let Reference::Tag(tag) = &query.reference else {
        return Err(Problem::bad_field(
            "reference",
            "expected a tag: what a digest names never changes",
        ));
    };
    Ok(Json(
        api.parts.mirror.refresh(&repository, tag).await?.into(),
    ))
}

#[utoipa::path(
    put, path = "/cache/entry/pin", tag = "cache", operation_id = "pinCacheEntry", params(EntryQuery),
    responses(
        (status = 204, description = "The image is never evicted, also if it comes later"),
        (status = 404, description = "There is no such project"),
    )
)]
pub(super) async fn pin(
    State(api): State<Arc<Api>>,
    query: EntryQuery,
) -> Result<StatusCode, Problem> {
    if query.is_hosted(&api.parts.mirror) {
        api.parts
            .meta
            .pin_put(&query.name, &query.reference)
            .await?;
    } else {
        let repository = query.repository(&api.parts.mirror)?;
        api.parts.mirror.pin(&repository, &query.reference).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    delete, path = "/cache/entry/pin", tag = "cache", operation_id = "unpinCacheEntry", params(EntryQuery),
    responses(
        (status = 204, description = "The image may be evicted again"),
        (status = 404, description = "It was not pinned"),
    )
)]
pub(super) async fn unpin(
    State(api): State<Arc<Api>>,
    query: EntryQuery,
) -> Result<StatusCode, Problem> {
    let was_pinned = if query.is_hosted(&api.parts.mirror) {
        let meta = &api.parts.meta;
        meta.pin_delete(&query.name, &query.reference).await?
    } else {
        let mirror = &api.parts.mirror;
        let repository = query.repository(mirror)?;
        mirror.unpin(&repository, &query.reference).await?
    };
    if was_pinned {
        Ok(StatusCode::NO_CONTENT)
    } else {
        let what = query.written(&query.name);
        Err(Problem::not_found(format!("{what} is not pinned")))
    }
}

/// So many entries, unless there are no more. A tag that goes while it is looked at makes a gap, but no end.
async fn entries(
    mirror: &Mirror,
    projects: &[String],
    mut after: Option<(Name, Tag)>,
    wanted: u32,
) -> Result<Vec<Entry>, Problem> {
    let mut entries = Vec::new();
    let mut left = wanted;
    while left > 0 {
        let more = mirror.entries(projects, after, left).await?;
        let Some(last) = more.last() else { break };
        let Reference::Tag(tag) = &last.reference else {
            break;
        };
        after = Some((last.name.clone(), tag.clone()));
        left = left.saturating_sub(u32::try_from(more.len()).unwrap_or(u32::MAX));
        entries.extend(more);
    }
    Ok(entries)
}

/// The mirror projects of a list: the one that is asked for, or all.
fn projects(mirror: &Mirror, wanted: Option<&str>) -> Result<Vec<String>, Problem> {
    let known = mirror.projects();
    let projects = known.iter().filter(|project| project.is_mirror());
    let projects: Vec<String> = projects.map(|project| project.name.clone()).collect();
    let Some(wanted) = wanted else {
        return Ok(projects);
    };
    if projects.iter().any(|project| project == wanted) {
        return Ok(vec![wanted.to_owned()]);
    }
    let known = format!(
        "no mirror project has this name; there are {}",
        projects.join(", ")
    );
    Err(Problem::bad_field("project", known))
}

fn nothing_here(what: &str) -> Problem {
    Problem::not_found(format!("nothing of {what} is here"))
}

impl FromStr for After {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let expected = "expected the value from the `Link` of the page before";
        let (name, tag) = text.split_once(':').ok_or(expected)?;
        Ok(Self {
            name: name.parse().map_err(|_| expected)?,
            tag: tag.parse().map_err(|_| expected)?,
        })
    }
}

impl<S: Sync> FromRequestParts<S> for ListQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            project: fields.optional("project"),
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
    }
}
