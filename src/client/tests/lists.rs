use super::{
    super::{ErrorKind, Patience},
    server::{FakeServer, Reply, Seen},
    *,
};
use crate::oci::Algorithm;

fn index(digests: &[&Digest]) -> String {
    let manifests: Vec<_> = digests
        .iter()
        .map(|digest| format!(r#"{{"mediaType":"m","digest":"{digest}","size":1}}"#))
        .collect();
    format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        manifests.join(",")
    )
}

async fn referrers(
    script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    digest: &Digest,
) -> Result<Vec<Digest>, ClientError> {
    referrers_for(Patience::Full, script, digest).await
}

async fn referrers_for(
    patience: Patience,
    script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    digest: &Digest,
) -> Result<Vec<Digest>, ClientError> {
    let server = FakeServer::start(script).await;
    let client = client(remote(server.url()));
    let list = client.referrer_list(&name(), digest, patience).await?;
    Ok(list.into_iter().map(|referrer| referrer.digest).collect())
}

/// Says this of the referrers, and that there is no such tag.
fn of_referrers(reply: impl Fn() -> Reply) -> impl Fn(&Seen) -> Reply {
    move |seen| match seen.target.contains("/referrers/") {
        true => reply(),
        false => Reply::new(404, ""),
    }
}

#[tokio::test]
async fn an_answer_that_is_no_list_of_referrers_is_no_empty_list() {
    for garbled in ["", "{", "{}", "[]", r#"{"tags":[]}"#] {
        let script = of_referrers(move || Reply::new(200, garbled));
        let error = referrers(script, &blob()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{garbled}");
    }
    let elsewhere = of_referrers(|| Reply::redirect("http://169.254.169.254/"));
    let error = referrers(elsewhere, &blob()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_web_page_is_no_empty_list_for_who_has_a_list() {
    for typed in [true, false] {
        let page = move || match typed {
            true => Reply::new(200, "Sign in").with("content-type", "text/html"),
            false => Reply::new(200, "<html>"),
        };
        let had = referrers_for(Patience::Full, of_referrers(page), &blob()).await;
        assert_eq!(had.unwrap(), []);
        let had = referrers_for(Patience::Short, of_referrers(page), &blob()).await;
        assert_eq!(had.unwrap_err().kind, ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn each_page_has_its_own_time() {
    let server = FakeServer::start(|seen| {
        let page: u32 = seen
            .target
            .rsplit("page=")
            .next()
            .unwrap()
            .parse()
            .unwrap_or(0);
        let reply = Reply::new(200, format!(r#"{{"tags":["{page}"]}}"#));
        let reply = reply.after(Duration::from_millis(300));
        match page {
            5.. => reply,
            _ => reply.with("link", format!("<?page={}>; rel=next", page + 1)),
        }
    })
    .await;
    let mut remote = remote(server.url());
    remote.header_timeout = Duration::from_millis(1200);
    for patience in [Patience::Full, Patience::Short] {
        let tags = client(remote.clone()).tag_list(&name(), patience).await;
        assert_eq!(tags.unwrap().len(), 6);
    }
}

#[tokio::test]
async fn tags_of_all_pages_are_sorted_and_told_once() {
    let server = FakeServer::start(|seen| match seen.target.as_str() {
        "/v2/library/nginx/tags/list?n=1000" => Reply::new(200, r#"{"tags":["b","a","B"]}"#).with(
            "link",
            r#"</v2/library/nginx/tags/list?n=1000&last=b>; rel="next""#,
        ),
        _ => Reply::new(200, r#"{"tags":["c","b","no tag"]}"#),
    })
    .await;
    let client = client(remote(server.url()));
    let tags = client.tag_list(&name(), Patience::Full).await.unwrap();
    let tags: Vec<_> = tags.iter().map(crate::oci::Tag::as_str).collect();
    assert_eq!(tags, ["B", "a", "b", "c"]);
}

#[tokio::test]
async fn a_list_that_goes_round_is_invalid() {
    let server = FakeServer::start(|_| {
        Reply::new(200, r#"{"tags":[]}"#).with("link", "<?n=1000>; rel=next")
    })
    .await;
    let error = client(remote(server.url()))
        .tag_list(&name(), Patience::Full)
        .await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn later_pages_come_from_the_url_of_the_first() {
    let missing = FakeServer::start(|_| Reply::new(404, "")).await;
    let server = FakeServer::start(|seen| match seen.target.contains("last") {
        true => Reply::new(200, r#"{"tags":["b"]}"#),
        false => Reply::new(200, r#"{"tags":["a"]}"#).with("link", "<?last=a>; rel=next"),
    })
    .await;
    let mut remote = remote(missing.url());
    remote.urls.push(server.url());
    let tags = client(remote)
        .tag_list(&name(), Patience::Full)
        .await
        .unwrap();
    assert_eq!(tags.len(), 2);
    assert_eq!(missing.seen().len(), 1);
}

#[tokio::test]
async fn referrers_come_from_the_api_with_all_pages() {
    let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
    let (first, second) = (index(&[&one]), index(&[&two, &one]));
    let script = move |seen: &Seen| match seen.target.contains("page=2") {
        true => Reply::new(200, second.clone()),
        false => Reply::new(200, first.clone()).with("link", "<?page=2>; rel=next"),
    };
    assert_eq!(referrers(script, &blob()).await.unwrap(), [one, two]);
}

#[tokio::test]
async fn referrers_come_from_the_tag_schema_when_there_is_no_api() {
    let referrer = Digest::sha256(b"1");
    for refusal in [404, 400, 405, 200] {
        let list = index(&[&referrer]);
        let tag = format!("/v2/library/nginx/manifests/sha256-{}", blob().hex());
        let script = move |seen: &Seen| match seen.target == tag {
            true => Reply::new(200, list.clone()),
            false => Reply::new(refusal, "<html>"),
        };
        assert_eq!(
            referrers(script, &blob()).await.unwrap(),
            std::slice::from_ref(&referrer),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn a_long_digest_is_cut_in_the_tag_schema() {
    let digest = Algorithm::Sha512.digest(BLOB);
    let tag = format!("/v2/library/nginx/manifests/sha512-{}", &digest.hex()[..64]);
    let list = index(&[&blob()]);
    let script = move |seen: &Seen| match seen.target == tag {
        true => Reply::new(200, list.clone()),
        false => Reply::new(404, ""),
    };
    assert_eq!(referrers(script, &digest).await.unwrap(), [blob()]);
}

#[tokio::test]
async fn no_referrers_are_an_empty_list_but_an_outage_is_not() {
    assert_eq!(
        referrers(|_| Reply::new(404, ""), &blob()).await.unwrap(),
        []
    );
    let error = referrers(|_| Reply::new(503, ""), &blob())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
}
