//! A registry that takes pushes, with scripted moods: how large a body it takes, when it breaks, what it forgets.

mod session;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;

use self::session::Step;
use super::*;
use crate::oci::{Manifest, Path};

/// What the registry does besides what it should.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mood of its own")]
pub(super) struct Mood {
    /// Larger bodies are refused with 413.
    pub(super) largest_body: Option<usize>,
    /// Each is for one body that is larger: the connection ends after so many bytes.
    pub(super) breaks_after: Vec<usize>,
    /// What came before such a break is gone, with its session.
    pub(super) forgets: bool,
    pub(super) min_chunk: Option<usize>,
    /// Pieces are taken, and none of them is there then.
    pub(super) keeps_nothing: bool,
    /// Tags for lists of referrers are refused.
    pub(super) refuses_lists: bool,
    pub(super) lists_referrers: bool,
    pub(super) takes_sparse: bool,
    pub(super) refuses: bool,
    /// Answers to a finished upload that are lost.
    pub(super) lost_answers: usize,
}

#[derive(Default)]
struct Content {
    blobs: HashMap<(String, String), Bytes>,
    manifests: HashMap<(String, String), (String, Bytes)>,
    uploads: HashMap<String, Vec<u8>>,
    seen: Vec<String>,
    received: usize,
    mood: Mood,
}

pub(super) struct Registry {
    url: Url,
    content: Arc<Mutex<Content>>,
    task: JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Reply = Result<Response<Full<Bytes>>, io::Error>;

impl Registry {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let content: Arc<Mutex<Content>> = Arc::default();
        let shared = Arc::clone(&content);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let content = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&content), request));
                tokio::spawn(async move {
                    let connection = auto::Builder::new(TokioExecutor::new());
                    // A scripted break is an error.
                    let _ = connection
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            url: url.parse().unwrap(),
            content,
            task,
        }
    }

    pub(super) fn destination(&self) -> Destination {
        let urls = vec![self.url.clone()];
        let provider = config::Provider::DockerRegistry;
        let remote = config::Remote::new("fake".to_owned(), provider, urls);
        Destination::new(&RegistryClient::new(remote, Metrics::default()).unwrap())
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    pub(super) fn mood(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.content().mood);
    }

    pub(super) fn lists_referrers(&self) {
        self.mood(|mood| mood.lists_referrers = true);
    }

    pub(super) fn takes_sparse_indexes(&self) {
        self.mood(|mood| mood.takes_sparse = true);
    }

    pub(super) fn refuses_pushes(&self) {
        self.mood(|mood| mood.refuses = true);
    }

    /// Requests that begin with this.
    pub(super) fn seen(&self, start: &str) -> Vec<String> {
        let content = self.content();
        let seen = content.seen.iter().filter(|seen| seen.starts_with(start));
        seen.cloned().collect()
    }

    pub(super) fn forget_seen(&self) {
        self.content().seen.clear();
    }

    /// Bytes of all bodies of uploads.
    pub(super) fn received(&self) -> usize {
        self.content().received
    }

    pub(super) fn has_tag(&self, name: &str, tag: &str) -> bool {
        let key = (name.to_owned(), tag.to_owned());
        self.content().manifests.contains_key(&key)
    }

    pub(super) fn has_blob(&self, name: &str, bytes: &[u8]) -> bool {
        let key = (name.to_owned(), Digest::sha256(bytes).to_string());
        self.content()
            .blobs
            .get(&key)
            .is_some_and(|found| found == bytes)
    }

    /// As its clean-up does.
    pub(super) fn drop_blobs(&self) {
        self.content().blobs.clear();
    }

    pub(super) fn manifest(&self, name: &str, reference: &str) -> Value {
        let key = (name.to_owned(), reference.to_owned());
        serde_json::from_slice(&self.content().manifests[&key].1).unwrap()
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "an answer of the service, which may break"
)]
fn reply(status: u16, headers: &[(&str, String)]) -> Reply {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    Ok(response.body(Full::default()).unwrap())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "an answer of the service, which may break"
)]
fn refuse(status: u16, code: &str) -> Reply {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#);
    let response = Response::builder().status(status);
    Ok(response.body(Full::from(body)).unwrap())
}

async fn answer(content: Arc<Mutex<Content>>, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let target = head.uri.to_string();
    content
        .lock()
        .unwrap()
        .seen
        .push(format!("{} {target}", head.method));
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    if content.lock().unwrap().mood.refuses && head.method != Method::HEAD {
        return refuse(403, "DENIED");
    }
    let header = |name| {
        head.headers
            .get(name)
            .map(|value: &http::HeaderValue| value.to_str().unwrap())
    };
    match Path::parse(head.uri.path()).unwrap() {
        Path::Manifest { name, reference } if head.method == Method::PUT => {
            let bytes = body.collect().await.unwrap().to_bytes();
            let media_type = header("content-type").unwrap().to_owned();
            put_manifest(
                &mut content.lock().unwrap(),
                name.as_str(),
                &reference.to_string(),
                (media_type, &bytes),
            )
        }
        Path::Manifest { name, reference } => {
            let key = (name.to_string(), reference.to_string());
            let content = content.lock().unwrap();
            let Some((media_type, bytes)) = content.manifests.get(&key) else {
                return refuse(404, "MANIFEST_UNKNOWN");
            };
            let response = Response::builder()
                .header("content-type", media_type)
                .header("docker-content-digest", Digest::sha256(bytes).to_string());
            Ok(response.body(Full::new(bytes.clone())).unwrap())
        }
        Path::Blob { name, digest } => {
            let key = (name.to_string(), digest.to_string());
            match content.lock().unwrap().blobs.contains_key(&key) {
                true => reply(200, &[]),
                false => refuse(404, "BLOB_UNKNOWN"),
            }
        }
        Path::Uploads { name } => {
            session::start(&mut content.lock().unwrap(), name.as_str(), &query)
        }
        Path::Upload { name, id } => {
            let length = header("content-length").map_or(0, |text| text.parse().unwrap());
            let range = header("content-range").map(str::to_owned);
            let upload = Step {
                name: name.to_string(),
                id,
                length,
                range,
            };
            upload
                .answer(&content, &head.method, query.get("digest"), body)
                .await
        }
        _ => refuse(404, "UNSUPPORTED"),
    }
}

fn put_manifest(
    content: &mut Content,
    name: &str,
    reference: &str,
    (media_type, bytes): (String, &Bytes),
) -> Reply {
    if content.mood.refuses_lists && reference.starts_with("sha256-") {
        return refuse(403, "DENIED");
    }
    let parsed = Manifest::parse(bytes);
    let has_blob = |digest: &Digest| {
        content
            .blobs
            .contains_key(&(name.to_owned(), digest.to_string()))
    };
    if !parsed.blobs.iter().all(|blob| has_blob(&blob.digest)) {
        return refuse(400, "MANIFEST_BLOB_UNKNOWN");
    }
    let has = |digest: &Digest| {
        content
            .manifests
            .contains_key(&(name.to_owned(), digest.to_string()))
    };
    if !content.mood.takes_sparse && !parsed.manifests.iter().all(|child| has(&child.digest)) {
        return refuse(400, "MANIFEST_UNKNOWN");
    }
    let digest = Digest::sha256(bytes).to_string();
    for key in [reference, &digest] {
        let value = (media_type.clone(), bytes.clone());
        content
            .manifests
            .insert((name.to_owned(), key.to_owned()), value);
    }
    let mut headers = vec![("docker-content-digest", digest)];
    if let Some(subject) = parsed.subject.filter(|_| content.mood.lists_referrers) {
        headers.push(("oci-subject", subject.digest.to_string()));
    }
    reply(201, &headers)
}
