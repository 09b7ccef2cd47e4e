//! Pages of sorted lists: `n`, `last` and the `Link` to the next one (distribution-spec, "Listing tags"). Pure.

use http::HeaderValue;
use url::form_urlencoded::Serializer;

use super::endpoint::PageQuery;

/// The items of one page, and `last` of the next if there is one.
pub(super) fn page<'a, T: AsRef<str>>(
    sorted: &'a [T],
    query: &PageQuery,
) -> (&'a [T], Option<&'a str>) {
    let begin = query.last.as_deref().map_or(0, |last| {
        sorted.partition_point(|item| item.as_ref().as_bytes() <= last.as_bytes())
    });
    let rest = &sorted[begin..];
    let count = query.n.unwrap_or(usize::MAX).min(rest.len());
    let items = &rest[..count];
    let next = (count < rest.len())
        .then(|| items.last().map(AsRef::as_ref))
        .flatten();
    (items, next)
}

/// `<path?…>; rel="next"` with these parameters, those without a value left out.
pub(super) fn next_link(path: &str, parameters: &[(&str, Option<&str>)]) -> HeaderValue {
    let mut query = Serializer::new(String::new());
    for (key, value) in parameters {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    HeaderValue::try_from(format!("<{path}?{}>; rel=\"next\"", query.finish()))
        .expect("paths of valid names and encoded parameters are visible ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAGS: [&str; 5] = ["1.0", "1.1", "Z", "a", "b"];

    fn query(n: Option<usize>, last: Option<&str>) -> PageQuery {
        PageQuery {
            n,
            last: last.map(str::to_owned),
        }
    }

    #[test]
    fn without_parameters_the_page_is_the_whole_list() {
        assert_eq!(page(&TAGS, &query(None, None)), (&TAGS[..], None));
    }

    #[test]
    fn a_page_says_where_the_next_begins_and_the_last_does_not() {
        assert_eq!(
            page(&TAGS, &query(Some(2), None)),
            (&TAGS[..2], Some("1.1"))
        );
        assert_eq!(
            page(&TAGS, &query(Some(2), Some("1.1"))),
            (&TAGS[2..4], Some("a"))
        );
        assert_eq!(page(&TAGS, &query(Some(2), Some("a"))), (&TAGS[4..], None));
        assert_eq!(page(&TAGS, &query(Some(5), None)), (&TAGS[..], None));
    }

    #[test]
    fn zero_is_an_empty_page_without_a_next() {
        assert_eq!(page(&TAGS, &query(Some(0), None)), (&TAGS[..0], None));
    }

    #[test]
    fn last_need_not_be_in_the_list() {
        assert_eq!(page(&TAGS, &query(None, Some("1.05"))), (&TAGS[1..], None));
        assert_eq!(page(&TAGS, &query(None, Some("zzz"))), (&TAGS[5..], None));
    }

    #[test]
    fn a_link_keeps_ns_and_encodes_values() {
        let link = next_link(
            "/v2/library/nginx/tags/list",
            &[
                ("n", Some("2")),
                ("last", Some("a+b")),
                ("ns", Some("localhost:5000")),
                ("x", None),
            ],
        );
        assert_eq!(
            link,
            "</v2/library/nginx/tags/list?n=2&last=a%2Bb&ns=localhost%3A5000>; rel=\"next\""
        );
    }

    proptest! {
        #[test]
        fn following_the_links_gives_every_item_once(
            items in prop::collection::btree_set("[a-zA-Z0-9._-]{1,6}", 0..40),
            n in 1usize..10,
        ) {
            let sorted: Vec<String> = items.into_iter().collect();
            let (mut seen, mut last) = (Vec::new(), None);
            loop {
                let (items, next) = page(&sorted, &PageQuery { n: Some(n), last: last.clone() });
                seen.extend_from_slice(items);
                match next { Some(next) => last = Some(next.to_owned()), None => break }
            }
            prop_assert_eq!(seen, sorted);
        }
    }
}
