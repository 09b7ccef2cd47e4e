//! `WWW-Authenticate` (RFC 9110, 11.6.1): what a remote wants to see, read leniently.

use http::{HeaderMap, header};
use http_auth::ChallengeParser;

/// Longest header value that is read.
const MAX_LENGTH: usize = 4096;

/// One way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// A token that the remote does not say where to get.
    Token,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// The challenge to answer: a token before a password; `None` when there is none that we know.
pub(super) fn choose(headers: &HeaderMap) -> Option<Challenge> {
    let mut chosen = None;
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        if text.len() > MAX_LENGTH {
            continue;
        }
        for challenge in parse(text) {
            match (&challenge, &chosen) {
                (Challenge::Bearer { .. }, _) => return Some(challenge),
                (Challenge::Basic, _) | (_, None) => chosen = Some(challenge),
                (Challenge::Token, Some(_)) => {}
            }
        }
    }
    chosen
}

fn parse(text: &str) -> Vec<Challenge> {
    let strict: Result<Vec<_>, _> = ChallengeParser::new(text).collect();
    let Ok(strict) = strict else {
        return lenient(text).into_iter().collect();
    };
    let read = strict.iter().filter_map(|challenge| {
        let params = challenge.params.iter();
        let params = params.map(|(name, value)| ((*name).to_owned(), value.to_unescaped()));
        build(challenge.scheme, params)
    });
    read.collect()
}

/// For remotes that do not quote what needs quotes: one scheme, then `name=value` between commas.
fn lenient(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let mut params: Vec<(String, String)> = Vec::new();
    for piece in split_outside_quotes(rest) {
        match (piece.split_once('='), params.last_mut()) {
            (Some((name, value)), _) => {
                let value = value.trim().trim_matches('"').to_owned();
                params.push((name.trim().to_owned(), value));
            }
            // `scope=repository:a:pull,push` without quotes
            (None, Some((_, last))) => *last = format!("{last},{}", piece.trim()),
            (None, None) => {}
        }
    }
    build(scheme, params)
}

fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

fn build(scheme: &str, params: impl IntoIterator<Item = (String, String)>) -> Option<Challenge> {
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    for (name, value) in params {
        let value = Some(value).filter(|value| !value.is_empty());
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = value,
            "service" => service = value,
            "scope" => scope = value,
            _ => {}
        }
    }
    Some(match realm {
        Some(realm) => Challenge::Bearer {
            realm,
            service,
            scope,
        },
        None => Challenge::Token,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::oci::fuzz::{near, search};

    fn chosen(values: &[&str]) -> Option<Challenge> {
        let values = values.iter().map(|v| v.parse().unwrap());
        choose(&values.map(|v| (header::WWW_AUTHENTICATE, v)).collect())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn the_usual_challenge_is_read() {
        let text =
            r#"Bearer realm="https://auth.r.io/token",service="r.io",scope="repository:a/b:pull""#;
        let expected = bearer(
            "https://auth.r.io/token",
            Some("r.io"),
            Some("repository:a/b:pull"),
        );
        assert_eq!(chosen(&[text]), Some(expected));
    }

    #[test]
    fn a_realm_without_quotes_is_read() {
        let text = "Bearer realm=https://r.io/token?x=1, service=r.io,scope=repository:a:pull,push";
        let expected = bearer(
            "https://r.io/token?x=1",
            Some("r.io"),
            Some("repository:a:pull,push"),
        );
        assert_eq!(chosen(&[text]), Some(expected));
    }

    #[test]
    fn a_token_is_chosen_before_a_password_in_one_header_or_two() {
        let basic = r#"Basic realm="r""#;
        let token = r#"Bearer realm="https://r.io/t""#;
        let expected = bearer("https://r.io/t", None, None);
        assert_eq!(chosen(&[basic, token]), Some(expected.clone()));
        assert_eq!(chosen(&[&format!("{basic}, {token}")]), Some(expected));
        assert_eq!(chosen(&["Negotiate", basic]), Some(Challenge::Basic));
    }

    #[test]
    fn a_token_from_nowhere_comes_after_a_password() {
        let basic = r#"Basic realm="r""#;
        assert_eq!(chosen(&["Bearer", basic]), Some(Challenge::Basic));
        assert_eq!(chosen(&[basic, "Bearer"]), Some(Challenge::Basic));
        assert_eq!(chosen(&[r#"Bearer service="r""#]), Some(Challenge::Token));
        assert_eq!(chosen(&["Bearer"]), Some(Challenge::Token));
    }

    #[test]
    fn what_nobody_knows_is_no_challenge() {
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&["Negotiate", "Digest realm=\"x\""]), None);
        assert_eq!(
            chosen(&[&format!("Basic realm=\"{}\"", "x".repeat(5000))]),
            None
        );
    }

    #[test]
    fn what_is_nearly_a_challenge_has_a_realm_that_was_sent_or_is_none() {
        let values = near(&[
            r#"Bearer realm="https://auth.r.io/token",service="r.io",scope="repository:a/b:pull""#,
            r#"Basic realm="r", Bearer realm="https://r.io/t""#,
            "Bearer realm=https://r.io/token?x=1, service=r.io,scope=repository:a:pull,push",
            "Negotiate",
        ]);
        search(vec(values, 1..3), |values| {
            let values = values
                .iter()
                .filter_map(|value| HeaderValue::from_bytes(value).ok());
            let headers: HeaderMap = values
                .map(|value| (header::WWW_AUTHENTICATE, value))
                .collect();
            if let Some(Challenge::Bearer { realm, .. }) = choose(&headers) {
                prop_assert!(!realm.is_empty() && realm.len() <= MAX_LENGTH);
            }
            Ok(())
        });
    }
}
