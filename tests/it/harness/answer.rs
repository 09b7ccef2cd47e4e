//! The pull API of a registry: from a request and the content to a right answer.

use serde_json::json;

use super::content::{Content, index_of};
use super::image::Manifest;
use super::options::{Options, Referrers};
use super::reply::{Length, Reply};
use super::request::{Kind, Request};

/// Answers everything but the token endpoint.
pub(super) fn answer(
    request: &Request,
    content: &Content,
    options: &mut Options,
    own_url: &str,
) -> Reply {
    let reply = match request.kind {
        Kind::Base => Reply::json(200, &json!({})),
        Kind::Catalog => Reply::json(200, &json!({"repositories": content.names()})),
        Kind::Manifest => manifest(request, content, options),
        Kind::Blob => blob(request, content, options),
        Kind::Cdn if !request.header("authorization").is_empty() => {
            // Signed URLs of S3 refuse a second way to authenticate.
            Reply::new(400, "<Error><Code>InvalidArgument</Code></Error>")
        }
        Kind::Cdn => blob_bytes(request, content, options),
        Kind::Tags => tags(request, content, options, own_url),
        Kind::Referrers => referrers(request, content, options),
        Kind::Token | Kind::Other => Reply::error(404, "NOT_FOUND"),
    };
    finish(reply, request, options)
}

fn finish(mut reply: Reply, request: &Request, options: &Options) -> Reply {
    reply.set("Docker-Distribution-Api-Version", "registry/2.0");
    if !options.digest_header {
        reply.remove("Docker-Content-Digest");
    }
    if !options.length_header && matches!(request.kind, Kind::Manifest | Kind::Blob | Kind::Cdn) {
        reply.length = Length::Unsaid;
    }
    reply
}

fn manifest(request: &Request, content: &Content, options: &mut Options) -> Reply {
    let by_tag = options.referrers == Referrers::ByTag;
    let found = content.look(&request.repository, |repository| {
        if by_tag {
            return repository.manifest_or_referrers(&request.reference);
        }
        repository.manifest(&request.reference).cloned()
    });
    let Some(found) = found else {
        return Reply::error(404, "NAME_UNKNOWN");
    };
    let Some(Manifest {
        digest,
        media_type,
        bytes,
    }) = found
    else {
        return Reply::error(404, "MANIFEST_UNKNOWN");
    };
    let mut limits = Vec::new();
    if let Some(left) = &mut options.pulls_left {
        if *left == 0 && !request.is_head() {
            return Reply::error(429, "TOOMANYREQUESTS").with("Retry-After", "60");
        }
        *left -= u64::from(!request.is_head());
        limits = vec![("ratelimit-limit", "100;w=21600".to_owned())];
        limits.push(("ratelimit-remaining", format!("{left};w=21600")));
    }
    let tag = format!("\"{digest}\"");
    let mut reply = if request.header("if-none-match") == tag {
        Reply::new(304, "")
    } else {
        Reply::new(200, bytes).with("Content-Type", media_type)
    };
    for (name, value) in limits {
        reply.set(name, value);
    }
    reply
        .with("Docker-Content-Digest", digest)
        .with("ETag", tag)
}

fn blob(request: &Request, content: &Content, options: &Options) -> Reply {
    let Some(base) = &options.redirect_blobs else {
        return blob_bytes(request, content, options);
    };
    let Request {
        repository,
        reference,
        ..
    } = request;
    let has = content.look(repository, |found| found.blobs.contains_key(reference));
    if has != Some(true) {
        return Reply::error(404, "BLOB_UNKNOWN");
    }
    let location = format!("{base}/cdn/{repository}/{reference}?signature=abc%2Fdef");
    Reply::new(307, "").with("Location", location)
}

fn blob_bytes(request: &Request, content: &Content, options: &Options) -> Reply {
    let found = content.look(&request.repository, |found| {
        found.blobs.get(&request.reference).cloned()
    });
    let Some(bytes) = found.flatten() else {
        return Reply::error(404, "BLOB_UNKNOWN");
    };
    let total = bytes.len();
    let reply = match parse_range(request.header("range"), total) {
        _ if !options.ranges => Reply::new(200, bytes),
        Range::Whole => Reply::new(200, bytes),
        Range::Unsatisfiable => {
            return Reply::error(416, "RANGE_INVALID")
                .with("Content-Range", format!("bytes */{total}"));
        }
        Range::Part { start, end } => Reply::new(206, bytes.slice(start..end)).with(
            "Content-Range",
            format!("bytes {start}-{}/{total}", end - 1),
        ),
    };
    let reply = if options.ranges {
        reply.with("Accept-Ranges", "bytes")
    } else {
        reply
    };
    reply
        .with("Content-Type", "application/octet-stream")
        .with("Docker-Content-Digest", request.reference.clone())
}

fn tags(request: &Request, content: &Content, options: &Options, own_url: &str) -> Reply {
    let tags = content.look(&request.repository, |found| {
        found.tags.keys().cloned().collect::<Vec<String>>()
    });
    let Some(mut tags) = tags else {
        return Reply::error(404, "NAME_UNKNOWN");
    };
    if let Some(last) = request.parameter("last") {
        tags.retain(|tag| tag.as_str() > last);
    }
    let asked = request
        .parameter("n")
        .and_then(|n| n.parse().ok())
        .unwrap_or(usize::MAX);
    let size = options.page_size.min(asked);
    let more = tags.len() > size && size > 0;
    tags.truncate(size);
    let reply = Reply::json(200, &json!({"name": request.repository, "tags": tags}));
    if !more {
        return reply;
    }
    let base = if options.absolute_links { own_url } else { "" };
    let last = &tags[size - 1];
    let link = format!(
        "<{base}{}?last={last}&n={size}>; rel=\"next\"",
        request.path
    );
    reply.with("Link", link)
}

fn referrers(request: &Request, content: &Content, options: &Options) -> Reply {
    let filter = match options.referrers {
        Referrers::ByTag => return Reply::error(404, "NOT_FOUND"),
        Referrers::Unfiltered => None,
        Referrers::Filtering => request.parameter("artifactType"),
    };
    let found = content.look(&request.repository, |found| {
        found.referrers(&request.reference, filter)
    });
    let Some(found) = found else {
        return Reply::error(404, "NAME_UNKNOWN");
    };
    let reply =
        Reply::json(200, &index_of(&found)).with("Content-Type", super::media_type::OCI_INDEX);
    if filter.is_some() {
        reply.with("OCI-Filters-Applied", "artifactType")
    } else {
        reply
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    Part { start: usize, end: usize },
    Unsatisfiable,
}

/// One range; several, or none that can be read, are answered with everything.
fn parse_range(header: &str, total: usize) -> Range {
    let bounds = header
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let (start, end) = match bounds {
        Some(("", suffix)) => match suffix.parse::<usize>() {
            Ok(length) => (total.saturating_sub(length), total),
            Err(_) => return Range::Whole,
        },
        Some((start, end)) => match (start.parse::<usize>(), end) {
            (Ok(start), "") => (start, total),
            (Ok(start), end) => match end.parse::<usize>() {
                Ok(end) => (start, end.saturating_add(1).min(total)),
                Err(_) => return Range::Whole,
            },
            (Err(_), _) => return Range::Whole,
        },
        None => return Range::Whole,
    };
    if start < end {
        Range::Part { start, end }
    } else {
        Range::Unsatisfiable
    }
}
