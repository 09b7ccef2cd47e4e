//! Readers of single values. Each says what is allowed when it refuses; none repeats a value that may hold a secret.

use std::{net::SocketAddr, time::Duration};

use bytesize::ByteSize;
use url::Url;

use super::{
    Pattern,
    error::Problem,
    tree::{Node, Origin, Value},
};

/// What a reader makes of a value.
pub(super) type Read<T> = Result<T, Problem>;

/// Longer than any wait makes sense, and short enough that a clock plus it never overflows.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn expected(what: &str, node: &Node) -> Problem {
    let found = match &node.value {
        Value::Text(text) => format!("`{text}`"),
        Value::Integer(number) => format!("`{number}`"),
        Value::Boolean(boolean) => format!("`{boolean}`"),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Other(name) => (*name).to_owned(),
    };
    Problem::new(format!("expected {what}, found {found}"))
}

/// The value as text; a variable's text may look like a number, and is text all the same.
fn as_text(node: &Node) -> Option<&str> {
    match (&node.value, &node.origin) {
        (Value::Text(text), _) => Some(text),
        (_, Origin::Environment { raw, .. }) => Some(raw),
        _ => None,
    }
}

/// Text that is not empty and has no control characters.
pub(super) fn text(node: &Node) -> Read<String> {
    let text = as_text(node).ok_or_else(|| expected("text in quotes", node))?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Problem::new("expected text that is not empty"));
    }
    Ok(text.to_owned())
}

/// One of a few words.
pub(super) fn choice<T: Copy>(allowed: &'static [(&'static str, T)]) -> impl Fn(&Node) -> Read<T> {
    move |node| {
        let words: Vec<String> = allowed
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let expected = || expected(&words.join(", "), node);
        let text = as_text(node).ok_or_else(expected)?;
        let found = allowed.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let problem = expected();
            match nearest(text, allowed.iter().map(|(word, _)| *word)) {
                Some(word) => problem.hint(format!("did you mean \"{word}\"?")),
                None => problem,
            }
        })
    }
}

pub(super) fn boolean(node: &Node) -> Read<bool> {
    match &node.value {
        Value::Boolean(boolean) => Ok(*boolean),
        _ => Err(expected("true or false", node)),
    }
}

/// A whole number of at least 1.
pub(super) fn count(node: &Node) -> Read<u32> {
    match u32::try_from(whole(node)?) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(expected("a whole number from 1", node)),
    }
}

/// A whole number, zero included.
pub(super) fn whole(node: &Node) -> Read<u64> {
    let wrong = || expected("a whole number", node);
    match &node.value {
        Value::Integer(number) => u64::try_from(*number).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// `"0s"` and longer.
pub(super) fn duration(node: &Node) -> Read<Duration> {
    let wrong = || expected("a duration such as \"30s\", \"15m\" or \"24h\"", node);
    if let Value::Integer(number) = node.value {
        return Err(wrong().hint(format!("a duration needs a unit: \"{number}s\"")));
    }
    let duration =
        humantime::parse_duration(as_text(node).ok_or_else(wrong)?).map_err(|_| wrong())?;
    if duration > DURATION_MAX {
        return Err(expected("a duration of at most 100 years", node));
    }
    Ok(duration)
}

/// A duration that is not zero, for waits on a remote.
pub(super) fn timeout(node: &Node) -> Read<Duration> {
    let duration = duration(node)?;
    if duration.is_zero() {
        return Err(expected("a duration longer than zero", node));
    }
    Ok(duration)
}

/// Bytes: `"512MiB"`, `"20GB"`, or a number.
pub(super) fn size(node: &Node) -> Read<u64> {
    let wrong = || expected("a size such as \"512MiB\" or \"20GB\"", node);
    if let Value::Integer(number) = node.value {
        return u64::try_from(number).map_err(|_| wrong());
    }
    let size: ByteSize = as_text(node)
        .ok_or_else(wrong)?
        .parse()
        .map_err(|_| wrong())?;
    Ok(size.as_u64())
}

/// A size, or `None` for `"unlimited"`.
pub(super) fn size_or_unlimited(node: &Node) -> Read<Option<u64>> {
    if as_text(node) == Some("unlimited") {
        return Ok(None);
    }
    size(node)
        .map(Some)
        .map_err(|_| expected("a size such as \"50GiB\", or \"unlimited\"", node))
}

/// Bytes per second: `"20MiB/s"`.
pub(super) fn bandwidth(node: &Node) -> Read<u64> {
    let wrong = || expected("a bandwidth such as \"20MiB/s\"", node);
    let text = as_text(node).ok_or_else(wrong)?;
    let size: ByteSize = text
        .strip_suffix("/s")
        .ok_or_else(wrong)?
        .trim_end()
        .parse()
        .map_err(|_| wrong())?;
    if size.as_u64() == 0 {
        Err(wrong())
    } else {
        Ok(size.as_u64())
    }
}

/// An IP address and a port.
pub(super) fn address(node: &Node) -> Read<SocketAddr> {
    let wrong = || {
        expected(
            "an IP address and a port such as \"127.0.0.1:5000\" or \"[::]:5000\"",
            node,
        )
    };
    let text = as_text(node).ok_or_else(wrong)?;
    text.parse().map_err(|_| {
        match text
            .strip_prefix("localhost:")
            .map(|port| ("127.0.0.1", port))
        {
            Some((host, port)) => wrong().hint(format!("write \"{host}:{port}\"")),
            None => match text.strip_prefix(':') {
                Some(port) => wrong().hint(format!(
                    "write \"0.0.0.0:{port}\" to listen on all addresses"
                )),
                None => wrong(),
            },
        }
    })
}

/// A network such as `10.0.0.0/8`, or one address.
pub(super) fn network(node: &Node) -> Read<ipnet::IpNet> {
    let wrong = || expected("a network such as \"10.0.0.0/8\", or an IP address", node);
    let text = as_text(node).ok_or_else(wrong)?;
    text.parse()
        .or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()))
        .map_err(|_| wrong())
}

/// A URL of one of the schemes, with a host and without query or fragment. Its text is not repeated in a refusal: it may
/// hold a password.
fn url(node: &Node, schemes: &[&str], example: &str) -> Read<Url> {
    let wrong = || {
        Problem::new(format!(
            "expected a URL such as \"{example}\", with {}",
            schemes.join(" or ")
        ))
    };
    let url = Url::parse(as_text(node).ok_or_else(wrong)?.trim()).map_err(|_| wrong())?;
    let plain = url.query().is_none() && url.fragment().is_none();
    if schemes.contains(&url.scheme()) && url.has_host() && plain {
        Ok(url)
    } else {
        Err(wrong())
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Where a remote is. Its path is made to end with a slash.
pub(super) fn remote_url(node: &Node) -> Read<Url> {
    let mut url = url(node, &["http", "https"], "https://registry.example.com")?;
    if has_credentials(&url) {
        return Err(Problem::new(
            "a URL must not hold credentials; they go into `username` and `password`",
        ));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// This server as others see it: no path, since the Distribution API begins at the root.
pub(super) fn origin_url(node: &Node) -> Read<Url> {
    let url = url(node, &["http", "https"], "https://mirror.example.com")?;
    if has_credentials(&url) || url.path() != "/" {
        return Err(Problem::new(
            "expected scheme, host and port alone, such as \"https://mirror.example.com\"",
        ));
    }
    Ok(url)
}

pub(super) fn proxy_url(node: &Node) -> Read<Url> {
    url(
        node,
        &["http", "https", "socks5", "socks5h"],
        "http://proxy:3128",
    )
}

/// Where a webhook's deliveries go. A query is allowed, which may hold a key.
pub(super) fn webhook_url(node: &Node) -> Read<Url> {
    let example = "https://ci.example.com/hooks/entrepot";
    let wrong = || {
        Problem::new(format!(
            "expected a URL such as \"{example}\", with https or http"
        ))
    };
    let url = Url::parse(as_text(node).ok_or_else(wrong)?.trim()).map_err(|_| wrong())?;
    if has_credentials(&url) {
        return Err(Problem::new(
            "a URL must not hold credentials; deliveries are signed with `secret`",
        ));
    }
    match ["https", "http"].contains(&url.scheme()) && url.has_host() {
        true => Ok(url),
        false => Err(wrong()),
    }
}

/// Any URL, such as an issuer's.
pub(super) fn https_url(node: &Node) -> Read<Url> {
    url(node, &["http", "https"], "https://login.example.com")
}

/// A host with an optional port, in lower case.
pub(super) fn host(node: &Node) -> Read<String> {
    let wrong = || {
        expected(
            "a host such as \"docker.io\" or \"registry.example.com:5000\"",
            node,
        )
    };
    let text = as_text(node).ok_or_else(wrong)?.to_ascii_lowercase();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if text.is_empty() || text.len() > 255 || !text.bytes().all(allowed) {
        return Err(wrong());
    }
    Ok(text)
}

/// A pattern on names or tags.
pub(super) fn pattern(node: &Node) -> Read<Pattern> {
    Pattern::parse(&text(node)?).map_err(Problem::new)
}

/// The word that a mistyped one most likely stands for.
pub(super) fn nearest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let text = text.to_ascii_lowercase().replace('-', "_");
    let limit = text.chars().count().div_ceil(3);
    words
        .map(|word| (distance(&text, &word.replace('-', "_")), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}

/// Edits (insert, delete, replace) from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests;
