//! Lists that come in pages: `Link: <url>; rel="next"`, followed on the same host only, bounded, without loops.

use std::collections::HashSet;

use http::{HeaderMap, header};
use serde::Deserialize;
use url::Url;

use crate::oci::{Name, Tag};

const MAX_PAGES: usize = 1000;
/// Of all pages together.
pub(super) const MAX_BYTES: u64 = 64 * 1024 * 1024;
pub(super) const MAX_ENTRIES: usize = 1_000_000;

/// The pages that were read, and how much may still come.
pub(super) struct Pages {
    seen: HashSet<Url>,
    bytes_left: u64,
}

impl Pages {
    pub(super) fn new() -> Self {
        Self {
            seen: HashSet::new(),
            bytes_left: MAX_BYTES,
        }
    }

    pub(super) fn bytes_left(&self) -> u64 {
        self.bytes_left
    }

    /// Notes a page; gives the URL of the next one, or why there may be none.
    pub(super) fn after(
        &mut self,
        url: &Url,
        headers: &HeaderMap,
        bytes: usize,
    ) -> Result<Option<Url>, &'static str> {
        self.bytes_left = self.bytes_left.saturating_sub(bytes as u64);
        self.seen.insert(url.clone());
        let Some(next) = next_url(url, headers)? else {
            return Ok(None);
        };
        if self.seen.contains(&next) {
            return Err("its list goes round in a loop");
        }
        if self.seen.len() >= MAX_PAGES {
            return Err("its list has too many pages");
        }
        Ok(Some(next))
    }
}

/// The next page's URL. Scheme and port stay as they are: servers behind a proxy often do not know their own.
fn next_url(url: &Url, headers: &HeaderMap) -> Result<Option<Url>, &'static str> {
    let links = headers.get_all(header::LINK).into_iter();
    let links = links.filter_map(|link| link.to_str().ok());
    let Some(target) = links
        .flat_map(|link| link.split('<').skip(1))
        .find_map(next_target)
    else {
        return Ok(None);
    };
    let found = url
        .join(target)
        .map_err(|_| "its link to the next page is no URL")?;
    if found.host() != url.host() {
        return Err("its link to the next page leads to another host");
    }
    let mut next = url.clone();
    next.set_path(found.path());
    next.set_query(found.query());
    Ok(Some(next))
}

/// The target of `target>; rel="next"`.
fn next_target(link: &str) -> Option<&str> {
    let (target, params) = link.split_once('>')?;
    let is_next = |param: &str| {
        let (name, value) = param.split_once('=').unwrap_or((param, ""));
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
    };
    params.split([';', ',']).any(is_next).then_some(target)
}

#[derive(Deserialize)]
struct TagPage {
    tags: Option<Vec<String>>,
}

/// The tags of one page; what is no tag is left out. `None`: not a tag list.
pub(super) fn tags(bytes: &[u8]) -> Option<impl Iterator<Item = Tag> + use<>> {
    let page: TagPage = serde_json::from_slice(bytes).ok()?;
    let tags = page.tags.unwrap_or_default().into_iter();
    Some(tags.filter_map(|tag| tag.parse().ok()))
}

#[derive(Deserialize)]
struct CatalogPage {
    repositories: Option<Vec<String>>,
}

/// The repositories of one page; what is no name is left out. `None`: not a list of repositories.
pub(super) fn repositories(bytes: &[u8]) -> Option<impl Iterator<Item = Name> + use<>> {
    let page: CatalogPage = serde_json::from_slice(bytes).ok()?;
    let names = page.repositories.unwrap_or_default().into_iter();
    Some(names.filter_map(|name| name.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(link: &str) -> Result<Option<String>, &'static str> {
        let headers = HeaderMap::from_iter([(header::LINK, link.parse().unwrap())]);
        let url = "https://r.io/v2/a/tags/list?n=1000".parse().unwrap();
        Ok(next_url(&url, &headers)?.map(|url| url.to_string()))
    }

    #[test]
    fn the_next_page_is_relative_or_on_the_same_host() {
        let next = Ok(Some("https://r.io/v2/a/tags/list?last=b&n=2".to_owned()));
        assert_eq!(after(r#"</v2/a/tags/list?last=b&n=2>; rel="next""#), next);
        assert_eq!(after("<?last=b&n=2>; rel=next"), next);
        assert_eq!(
            after(r#"<http://r.io:80/v2/a/tags/list?last=b&n=2>; rel="next""#),
            next
        );
        assert_eq!(
            after(r#"</first>; rel="first", </v2/a/tags/list?last=b&n=2>; rel="next""#),
            next
        );
        assert_eq!(after(r#"</x>; rel="prev""#), Ok(None));
        assert!(after(r#"<https://evil.io/x>; rel="next""#).is_err());
    }

    #[test]
    fn loops_and_endless_lists_end() {
        let page = |n: usize| format!("https://r.io/?page={n}").parse::<Url>().unwrap();
        let link = |n| {
            let link = format!("<?page={n}>; rel=next").parse().unwrap();
            HeaderMap::from_iter([(header::LINK, link)])
        };
        let mut pages = Pages::new();
        assert_eq!(pages.after(&page(1), &link(2), 10), Ok(Some(page(2))));
        assert!(pages.after(&page(2), &link(1), 10).is_err());
        let mut pages = Pages::new();
        let read = (1..).take_while(|n| pages.after(&page(*n), &link(n + 1), 10).is_ok());
        assert_eq!(read.count(), MAX_PAGES - 1);
        assert!(pages.bytes_left() < MAX_BYTES);
    }

    #[test]
    fn what_is_no_tag_is_left_out() {
        let read =
            |text: &str| tags(text.as_bytes()).map(|tags| tags.map(|t| t.to_string()).collect());
        assert_eq!(
            read(r#"{"tags":["a","-b","c d","e"]}"#),
            Some(vec!["a".to_owned(), "e".to_owned()])
        );
        assert_eq!(read(r#"{"name":"x","tags":null}"#), Some(vec![]));
        assert_eq!(read("<html>"), None);
    }
}
