//! The requests that a registry takes, with noun-first names.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

pub use super::BlobStreamBody;
use super::{
    ClientError, ErrorKind, Presence, RateBudget, SetupError, UrlHealth, document,
    error::Failure,
    limit::Limits,
    range::{ContentRange, content_length},
    retry::Deadline,
    transport::{Answer, Call, Document, Transport},
};
use crate::{
    config,
    oci::{Digest, Name, Path, Reference, TagState, media_type},
    telemetry::Metrics,
};

/// Largest manifest that is read (distribution-spec, "Pushing Manifests").
pub(super) const MAX_MANIFEST_BYTES: u64 = 4 * 1024 * 1024;

/// How hard a remote is tried. Its headers may take `header_timeout` in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Nothing cached: with retries, and although nobody answered lately.
    Full,
    /// Something cached can be served, and whoever waits does so for `answer_timeout` at most: few tries, no waiting for a
    /// limit to pass, and none of all that while nobody is there.
    Short,
}

/// Who stands back when a limit of the remote is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A client waits for it.
    Foreground,
    /// Nobody waits for it: it has the connections and the bandwidth that are left over, and leaves the rate budget's
    /// reserve alone.
    Background,
}

/// A remote, ready to be asked. Cheap to clone.
#[derive(Clone)]
pub struct RegistryClient {
    remote: Arc<config::Remote>,
    pub(super) transport: Arc<Transport>,
    priority: Priority,
    purpose: Purpose,
}

/// What tokens are asked for: one token for all requests of one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Pull,
    Push,
}

impl Purpose {
    fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// A manifest with what the remote said of it. The digest is computed from the bytes (by the algorithm asked for, else
/// of the remote's header, else sha256) and agrees with the digest that was asked for, or else with the remote's header.
#[derive(Debug, Clone)]
pub struct RemoteManifest {
    pub bytes: Bytes,
    pub media_type: String,
    pub digest: Digest,
}

/// What a HEAD tells; remotes leave out what they like.
#[derive(Debug, Clone)]
pub struct ManifestHead {
    pub digest: Option<Digest>,
    pub media_type: Option<String>,
    pub size_bytes: Option<u64>,
    /// Answers to [`RegistryClient::tag_head`] have it, of other instances of this program.
    pub tag_state: Option<TagState>,
}

/// An open download. Reads fail with `TimedOut` after `idle_timeout` without a byte.
#[derive(Debug)]
pub struct BlobStream {
    /// Where the bytes begin: the offset asked for, or 0 when the remote ignored it.
    pub offset: u64,
    /// Size of the whole blob in bytes, if the remote said it.
    pub total_bytes: Option<u64>,
    /// Place of the URL that it comes from.
    pub url: usize,
    pub body: BlobStreamBody,
}

impl RegistryClient {
    /// Reads the certificate files; dials nothing.
    pub fn new(remote: config::Remote, metrics: Metrics) -> Result<Self, SetupError> {
        let limits = Limits::new(&remote);
        Self::with_limits(remote, metrics, limits)
    }

    /// The remote as it is from now on. What still runs of this one and what the other does keep to its limits together.
    pub(super) fn followed_by(
        &self,
        remote: config::Remote,
        metrics: Metrics,
    ) -> Result<Self, SetupError> {
        let limits = self.transport.limits.clone();
        let follower = Self::with_limits(remote, metrics, limits)?;
        follower.transport.limits.set(&follower.remote);
        Ok(follower)
    }

    fn with_limits(
        remote: config::Remote,
        metrics: Metrics,
        limits: Limits,
    ) -> Result<Self, SetupError> {
        let transport = Transport::new(&remote, metrics, limits)?;
        Ok(Self {
            remote: Arc::new(remote),
            transport: Arc::new(transport),
            priority: Priority::Foreground,
            purpose: Purpose::Pull,
        })
    }

    /// The same remote, for those who push there: what they ask, they ask with the rights to push.
    pub fn pushing(&self) -> Self {
        Self {
            purpose: Purpose::Push,
            ..self.clone()
        }
    }

    /// The same remote, with the same limits, for what nobody waits for.
    pub fn background(&self) -> Self {
        Self {
            priority: Priority::Background,
            ..self.clone()
        }
    }

    /// What is left of the remote's rate limit, as far as it told. Asks nobody.
    pub fn budget(&self) -> RateBudget {
        self.transport.budget()
    }

    /// The remote's URLs in their order, and which of them are passed over. Asks nobody.
    pub fn health(&self) -> Vec<UrlHealth> {
        self.transport.health()
    }

    /// Is anybody there, at any of the URLs, as far as is known? Asks nobody.
    pub fn presence(&self) -> Presence {
        self.transport.presence()
    }

    /// Finds which of several URLs answers, for those who will ask many things at once.
    pub async fn look_around(&self) {
        self.transport.look_around().await;
    }

    pub fn remote(&self) -> &config::Remote {
        &self.remote
    }

    pub async fn manifest_get(
        &self,
        name: &Name,
        reference: &Reference,
        patience: Patience,
    ) -> Result<RemoteManifest, ClientError> {
        let call = self.manifest_call(Method::GET, name, reference);
        let judge = |document| self.judge_manifest(reference, document);
        self.transport
            .load_as(&call, MAX_MANIFEST_BYTES, self.deadline(patience), &judge)
            .await
    }

    /// Wrong bytes may have been bent on their way: the next answer may be right.
    fn judge_manifest(
        &self,
        reference: &Reference,
        document: Document,
    ) -> Result<RemoteManifest, Failure> {
        let Document { headers, bytes, .. } = document;
        let announced = document::announced_digest(&headers);
        let digest = document::digest(&bytes, reference, announced);
        Ok(RemoteManifest {
            digest: digest.map_err(|why| Failure::again(self.invalid(why)))?,
            media_type: document::manifest_type(&headers, &bytes),
            bytes,
        })
    }

    pub async fn manifest_head(
        &self,
        name: &Name,
        reference: &Reference,
        patience: Patience,
    ) -> Result<ManifestHead, ClientError> {
        let call = self.manifest_call(Method::HEAD, name, reference);
        self.head(&call, patience).await
    }

    pub(super) async fn head(
        &self,
        call: &Call,
        patience: Patience,
    ) -> Result<ManifestHead, ClientError> {
        let answer = self.transport.open(call, self.deadline(patience)).await?;
        Ok(ManifestHead {
            digest: document::announced_digest(&answer.headers),
            media_type: document::specific_type(&answer.headers),
            // No manifest is empty: a remote that says 0 does not know.
            size_bytes: content_length(&answer.headers).filter(|size| *size > 0),
            tag_state: document::tag_state(&answer.headers),
        })
    }

    /// Opens a download at a byte offset (0: no Range header). 416 at offset > 0 is `Invalid` with status 416.
    /// `first_url`: which of the remote's URLs is asked first; after the last comes the first.
    pub async fn blob_get(
        &self,
        name: &Name,
        digest: &Digest,
        offset: u64,
        first_url: usize,
    ) -> Result<BlobStream, ClientError> {
        let mut call = self.blob_call(Method::GET, name, digest);
        call.first_url = first_url;
        if offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={offset}-")).expect("visible ASCII");
            call.headers.insert(header::RANGE, range);
        }
        let answer = self
            .transport
            .open(&call, self.deadline(Patience::Full))
            .await?;
        self.blob_stream(answer, offset)
    }

    fn blob_stream(&self, mut answer: Answer, asked: u64) -> Result<BlobStream, ClientError> {
        if answer.status != StatusCode::PARTIAL_CONTENT {
            return Ok(BlobStream {
                offset: 0,
                total_bytes: content_length(&answer.headers),
                url: answer.endpoint,
                body: answer.body,
            });
        }
        let range = ContentRange::read(&answer.headers);
        let Some((range, (first, last))) = range.and_then(|range| Some((range, range.bytes?)))
        else {
            return Err(self.invalid("answers with a part but does not say which"));
        };
        if first != asked {
            let message = format!("answers from byte {first} instead of {asked}");
            return Err(self.invalid(message));
        }
        // A part that ends before the blob does is an early end, so that the caller goes on from there.
        let end = range.total.unwrap_or(last + 1);
        answer.body.expect(end - first);
        Ok(BlobStream {
            offset: first,
            total_bytes: range.total,
            url: answer.endpoint,
            body: answer.body,
        })
    }

    /// Size of a blob in bytes: by HEAD, else (no length) by `Range: bytes=0-0`.
    pub async fn blob_head(
        &self,
        name: &Name,
        digest: &Digest,
        patience: Patience,
    ) -> Result<Option<u64>, ClientError> {
        let deadline = self.deadline(patience);
        let call = self.blob_call(Method::HEAD, name, digest);
        match self.transport.open(&call, deadline).await {
            Ok(answer) => {
                // 0 may be what a server says that does not know.
                let size = content_length(&answer.headers);
                if let Some(size) = size.filter(|size| *size > 0 || digest.verifies(&[])) {
                    return Ok(Some(size));
                }
            }
            // Content servers behind a redirect may take GET only.
            Err(error) if error.kind == ErrorKind::Invalid && error.status.is_some() => {}
            Err(error) => return Err(error),
        }
        self.blob_size(name, digest, deadline).await
    }

    async fn blob_size(
        &self,
        name: &Name,
        digest: &Digest,
        deadline: Deadline,
    ) -> Result<Option<u64>, ClientError> {
        let mut call = self.blob_call(Method::GET, name, digest);
        call.headers
            .insert(header::RANGE, HeaderValue::from_static("bytes=0-0"));
        match self.transport.open(&call, deadline).await {
            Ok(answer) if answer.status == StatusCode::PARTIAL_CONTENT => {
                Ok(ContentRange::read(&answer.headers).and_then(|range| range.total))
            }
            Ok(answer) => Ok(content_length(&answer.headers)),
            // An empty blob has no first byte.
            Err(error) if error.status == Some(416) && digest.verifies(&[]) => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Asks as somebody else, with a login that was shown to us.
    pub fn with_login(&self, username: &str, password: &str) -> Self {
        Self {
            remote: Arc::clone(&self.remote),
            transport: Arc::new(self.transport.with_login(username, password)),
            ..self.clone()
        }
    }

    /// Does the other go the same way, whoever asks?
    pub fn is_of_same_remote(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.remote, &other.remote)
    }

    /// Have we no login of our own there?
    pub fn is_anonymous(&self) -> bool {
        matches!(self.remote.credentials, config::Credentials::None)
    }

    pub(super) fn deadline(&self, patience: Patience) -> Deadline {
        Deadline::new(&self.remote, patience, self.priority)
    }

    pub(super) fn invalid(&self, message: impl Into<String>) -> ClientError {
        ClientError::invalid(self.transport.remote(), message)
    }

    pub(super) fn manifest_call(&self, method: Method, name: &Name, reference: &Reference) -> Call {
        let path = Path::Manifest {
            name: name.clone(),
            reference: reference.clone(),
        };
        let mut call = self.call("manifest", method, &path.to_string(), name);
        let accept = HeaderValue::from_static(media_type::ACCEPT_MANIFEST);
        call.headers.insert(header::ACCEPT, accept);
        call
    }

    pub(super) fn blob_call(&self, method: Method, name: &Name, digest: &Digest) -> Call {
        let path = Path::Blob {
            name: name.clone(),
            digest: digest.clone(),
        };
        let mut call = self.call("blob", method, &path.to_string(), name);
        call.takes_parts = true;
        call
    }

    pub(super) fn call(&self, kind: &'static str, method: Method, path: &str, name: &Name) -> Call {
        let scope = format!("repository:{name}:{}", self.purpose.actions());
        Call {
            scope,
            ..Self::plain_call(kind, method, path)
        }
    }

    /// About no repository, and without a scope.
    pub(super) fn plain_call(kind: &'static str, method: Method, path: &str) -> Call {
        let identity: (HeaderName, _) = (
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        Call {
            kind,
            method,
            path: path.trim_start_matches('/').to_owned(),
            scope: String::new(),
            headers: HeaderMap::from_iter([identity]),
            body: None,
            takes_parts: false,
            first_url: 0,
            page: None,
        }
    }
}
