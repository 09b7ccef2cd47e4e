use std::task::{Context, Poll};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    super::{ErrorKind, Feed, FeedBroken, Lender, Started, UploadSession},
    server::{FakeServer, Reply, Seen},
    *,
};

/// Gives out zeros.
struct Zeros {
    left: usize,
    /// Fails when nothing is left.
    breaks: bool,
}

impl Feed for Zeros {
    fn poll_next(
        &mut self,
        _cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Option<Result<Bytes, FeedBroken>>> {
        let length = self.left.min(limit).min(64 << 10);
        self.left -= length;
        Poll::Ready(match length {
            0 if self.breaks => Some(Err(FeedBroken)),
            0 => None,
            length => Some(Ok(vec![0; length].into())),
        })
    }
}

fn zeros(left: usize) -> Lender<Zeros> {
    Lender::new(Zeros {
        left,
        breaks: false,
    })
}

fn started() -> Reply {
    Reply::new(202, "").with("location", "/v2/library/nginx/blobs/uploads/1?state=a")
}

fn takes_uploads(seen: &Seen) -> Reply {
    match seen.method.as_str() {
        "POST" => started(),
        "PATCH" => started().with("range", "0-999"),
        "GET" => Reply::new(204, "").with("range", "0-499"),
        _ => Reply::new(201, ""),
    }
}

async fn finish(
    client: &RegistryClient,
    session: &UploadSession,
    zeros: Lender<Zeros>,
    bytes: u64,
) -> Result<(), ClientError> {
    let (digest, bytes) = (blob(), Some(bytes));
    client.upload_finish(session, &digest, &zeros, bytes).await
}

async fn session(client: &RegistryClient) -> UploadSession {
    client.upload_start(&name()).await.unwrap()
}

#[tokio::test]
async fn an_upload_is_one_session_and_one_body_of_known_length() {
    let server = FakeServer::start(takes_uploads).await;
    let client = client(remote(server.url())).pushing();
    let session = session(&client).await;
    let sent = finish(&client, &session, zeros(300_000), 300_000).await;
    sent.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].target, "/v2/library/nginx/blobs/uploads/");
    let put = &seen[1];
    assert!(
        put.target
            .starts_with("/v2/library/nginx/blobs/uploads/1?state=a&digest=sha256")
    );
    assert_eq!(
        (put.header("content-length"), put.body.len()),
        ("300000", 300_000)
    );
}

#[tokio::test]
async fn a_chunk_says_where_it_belongs_and_the_answer_how_far_it_is() {
    let server = FakeServer::start(takes_uploads).await;
    let client = client(remote(server.url())).pushing();
    let (mut session, zeros) = (session(&client).await, zeros(3000));
    client
        .upload_append(&mut session, &zeros, 1000)
        .await
        .unwrap();
    assert_eq!(session.received, 1000);
    client
        .upload_append(&mut session, &zeros, 10)
        .await
        .unwrap();
    client.upload_status(&mut session).await.unwrap();
    assert_eq!(session.received, 500);
    let ranges: Vec<String> = server
        .seen()
        .iter()
        .map(|seen| seen.header("content-range").to_owned())
        .collect();
    assert_eq!(ranges, ["", "0-999", "1000-1009", ""]);
}

#[tokio::test]
async fn who_pushes_asks_for_a_token_to_push_and_to_mount_one_to_pull_there_too() {
    let server = FakeServer::start(|seen| {
        if seen.target.starts_with("/token") {
            return Reply::new(200, r#"{"token":"t"}"#);
        }
        match seen.header("authorization") {
            "" => Reply::new(401, "").with("www-authenticate", r#"Bearer realm="/token""#),
            _ if seen.target.contains("mount=") => Reply::new(201, ""),
            _ => takes_uploads(seen),
        }
    })
    .await;
    let client = client(with_password(remote(server.url()))).pushing();
    session(&client).await;
    let other: Name = "other/app".parse().unwrap();
    let mounted = client.blob_mount(&name(), &blob(), &other).await;
    assert_eq!(mounted.unwrap(), Started::Mounted);
    let scopes: Vec<String> = server
        .seen()
        .iter()
        .filter_map(|seen| seen.target.strip_prefix("/token?").map(str::to_owned))
        .collect();
    let push = "scope=repository%3Alibrary%2Fnginx%3Apull%2Cpush";
    assert_eq!(
        scopes,
        [
            push.to_owned(),
            format!("{push}&scope=repository%3Aother%2Fapp%3Apull")
        ]
    );
}

#[tokio::test]
async fn a_token_that_expired_before_an_upload_is_renewed_for_the_next_try() {
    let server = FakeServer::start(|seen| {
        if seen.target.starts_with("/token") {
            return Reply::new(200, r#"{"token":"t"}"#);
        }
        let refused = || Reply::new(401, "").with("www-authenticate", r#"Bearer realm="/token""#);
        match (seen.method.as_str(), seen.body.len()) {
            _ if seen.header("authorization").is_empty() => refused(),
            ("PUT", 1000) => refused(),
            _ => takes_uploads(seen),
        }
    })
    .await;
    let client = client(with_password(remote(server.url()))).pushing();
    let session = session(&client).await;
    let refused = finish(&client, &session, zeros(1000), 1000).await;
    assert_eq!(refused.unwrap_err().status, Some(401));
    assert_eq!(server.count("/token"), 2);
    let taken = finish(&client, &session, zeros(999), 999).await;
    taken.unwrap();
}

#[tokio::test]
async fn a_remote_that_takes_nothing_is_given_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut kept = Vec::new();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if kept.is_empty() {
                stream.read_u8().await.unwrap();
                let answer = b"HTTP/1.1 202 Accepted\r\nlocation: /v2/1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
            kept.push(stream);
        }
    });
    let client = client(remote(url.parse().unwrap())).pushing();
    let session = session(&client).await;
    let bytes = 64 << 20;
    let sent = finish(&client, &session, zeros(bytes), bytes as u64).await;
    let error = sent.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.message.contains("takes no more"), "{error}");
    server.abort();
}

#[tokio::test]
async fn a_source_that_fails_is_no_fault_of_the_remote() {
    let server = FakeServer::start(takes_uploads).await;
    let client = client(remote(server.url())).pushing();
    let session = session(&client).await;
    let lender = Lender::new(Zeros {
        left: 1000,
        breaks: true,
    });
    finish(&client, &session, lender, 2000).await.unwrap_err();
    assert!(client.health().iter().all(|url| url.trouble.is_none()));
}

#[tokio::test]
async fn what_is_not_there_is_deleted() {
    let server = FakeServer::start(|seen| match seen.target.ends_with("/gone") {
        true => Reply::new(404, ""),
        false => Reply::new(405, ""),
    })
    .await;
    let client = client(remote(server.url())).pushing();
    client
        .tag_delete(&name(), &"gone".parse().unwrap(), None)
        .await
        .unwrap();
    let refused = client
        .tag_delete(&name(), &"1".parse().unwrap(), None)
        .await;
    assert_eq!(refused.unwrap_err().status, Some(405));
}

#[tokio::test]
async fn a_manifest_is_put_with_its_type_and_the_answer_tells_of_referrers() {
    let server = FakeServer::start(|_| Reply::new(201, "").with("oci-subject", "sha256:0")).await;
    let client = client(remote(server.url())).pushing();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let (name, tag) = (name(), tag());
    let put = client.manifest_put(&name, &tag, (media_type, Bytes::from_static(b"{}")), None);
    assert!(put.await.unwrap().lists_referrers);
    let seen = &server.seen()[0];
    assert_eq!(seen.header("content-type"), media_type);
    assert_eq!(&seen.body[..], b"{}");
}
