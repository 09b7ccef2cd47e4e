use http::{HeaderMap, Method};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        ErrorKind, Patience,
        endpoint::{Endpoint, Outgoing, Payload, Wire},
    },
    server::{FakeServer, Reply, Seen},
    *,
};

fn basic_then(seen: &Seen, then: impl FnOnce() -> Reply) -> Reply {
    match seen.header("authorization") {
        "" => Reply::new(401, "").with("www-authenticate", r#"Basic realm="x""#),
        _ => then(),
    }
}

#[tokio::test]
async fn another_host_gets_the_range_but_no_credentials() {
    let cdn =
        FakeServer::start(|_| Reply::new(206, &BLOB[4..]).with("content-range", "bytes 4-9/10"))
            .await;
    let target = cdn.localhost().join("signed?key=1").unwrap();
    let server =
        FakeServer::start(move |seen| basic_then(seen, || Reply::redirect(target.as_str()))).await;
    let client = client(with_password(remote(server.url())));
    let mut stream = client.blob_get(&name(), &blob(), 4, 0).await.unwrap();
    assert_eq!(read(&mut stream.body).await.unwrap(), &BLOB[4..]);
    let seen = cdn.seen();
    assert_eq!(seen[0].target, "/signed?key=1");
    assert_eq!(seen[0].header("range"), "bytes=4-");
    assert_eq!(seen[0].header("authorization"), "");
}

#[tokio::test]
async fn the_same_host_gets_the_credentials_again() {
    let server = FakeServer::start(|seen| {
        basic_then(seen, || match seen.target.as_str() {
            "/elsewhere" => Reply::new(200, BLOB),
            _ => Reply::redirect("/elsewhere"),
        })
    })
    .await;
    let client = client(with_password(remote(server.url())));
    let mut stream = client.blob_get(&name(), &blob(), 0, 0).await.unwrap();
    assert_eq!(read(&mut stream.body).await.unwrap(), BLOB);
    assert_eq!(
        server.seen().last().unwrap().header("authorization"),
        "Basic dTpw"
    );
}

async fn refused(location: &str) -> ClientError {
    let location = location.to_owned();
    let server = FakeServer::start(move |_| Reply::redirect(location.clone())).await;
    let client = client(remote(server.url()));
    let error = client.blob_get(&name(), &blob(), 0, 0).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    error
}

#[tokio::test]
async fn loops_are_refused() {
    let error = refused("?").await;
    assert!(error.message.contains("loop"), "{error}");
}

#[tokio::test]
async fn link_local_addresses_are_refused_before_anything_is_dialed() {
    let error = refused("http://169.254.169.254/latest/meta-data").await;
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_name_that_leads_into_our_network_is_refused_before_anything_is_dialed() {
    let inside = FakeServer::start(|_| Reply::new(200, BLOB)).await;
    let public: Url = "http://192.0.2.1/".parse().unwrap();
    let settings = remote(public.clone());
    let tls = crate::client::tls::client_config(&settings).unwrap();
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    let endpoint = Endpoint::new(&settings, public, tls, &metrics, stop).unwrap();
    let wire = Wire {
        remote: "fake".into(),
        metrics,
        header_timeout: settings.header_timeout,
        answer_timeout: settings.answer_timeout,
    };
    let outgoing = Outgoing {
        kind: "blob",
        method: &Method::GET,
        url: inside.localhost(),
        headers: &HeaderMap::new(),
        authorization: None,
        body: Payload::Nothing,
    };
    let failure = endpoint.exchange(&wire, outgoing).await.unwrap_err();
    assert_eq!(failure.error.kind, ErrorKind::Invalid);
    assert!(!failure.again);
    assert!(
        failure.error.message.contains("`localhost`"),
        "{}",
        failure.error
    );
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn a_private_remote_with_a_name_may_lead_to_a_private_address() {
    let inside = FakeServer::start(|_| Reply::new(200, BLOB)).await;
    let target = inside.url();
    let server = FakeServer::start(move |_| Reply::redirect(target.as_str())).await;
    let client = client(remote(server.localhost()));
    client.blob_get(&name(), &blob(), 0, 0).await.unwrap();
}

#[tokio::test]
async fn a_content_server_that_refuses_says_nothing_about_our_rights() {
    let cdn = FakeServer::start(|_| Reply::new(403, "")).await;
    let target = cdn.localhost();
    let server = FakeServer::start(move |_| Reply::redirect(target.as_str())).await;
    let client = client(remote(server.url()));
    let error = client.blob_get(&name(), &blob(), 0, 0).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ErrorKind::Invalid, Some(403)));
}

#[tokio::test]
async fn a_content_server_that_has_lost_something_does_not_say_that_it_is_not_there() {
    let cdn = FakeServer::start(|seen| match seen.method {
        Method::HEAD => Reply::new(404, ""),
        _ => Reply::new(206, &BLOB[..1]).with("content-range", "bytes 0-0/10"),
    })
    .await;
    let target = cdn.localhost().join("signed?key=1").unwrap();
    let server = FakeServer::start(move |_| Reply::redirect(target.as_str())).await;
    let client = client(remote(server.url()));
    let error = client.manifest_head(&name(), &tag(), Patience::Full).await;
    let error = error.unwrap_err();
    assert_eq!((error.kind, error.status), (ErrorKind::Invalid, Some(404)));
    // It may be the HEAD alone that it does not take.
    let size = client.blob_head(&name(), &blob(), Patience::Full).await;
    assert_eq!(size.unwrap(), Some(10));
}

#[tokio::test]
async fn a_registry_that_another_one_leads_to_is_believed_that_something_is_not_there() {
    let real = FakeServer::start(|_| Reply::new(404, "")).await;
    let base = real.localhost();
    let server = FakeServer::start(move |seen| {
        let there = seen.target.replace("library", "hidden/below");
        Reply::redirect(base.join(&there).unwrap().as_str())
    })
    .await;
    let client = client(remote(server.url()));
    let error = client.manifest_head(&name(), &tag(), Patience::Full).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::NotFound);
    let error = client.blob_get(&name(), &blob(), 0, 0).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::NotFound);
}
