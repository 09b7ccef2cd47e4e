//! Bytes that another member has: a running fill, or a blob that is not in the bucket yet.
//!
//! ```text
//! GET /peer/<member>/fills/<digest>?from=<offset>[&for=<repository>]     what it fills, or has
//! GET /peer/<member>/blobs/<digest>?from=<offset>                        what it has
//! ```
//! 200: the bytes from there on; 403: no proof of membership; 404: it has nothing of it; 409: not for this repository;
//! 421: another process answers at this address by now.

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use reqwest::redirect::Policy;
use tokio::time::{Instant, timeout};
use url::Url;

use super::{Cluster, Member, MemberId};
use crate::oci::{Digest, Name};

/// The size of the whole blob, if it is known.
pub const TOTAL: &str = "entrepot-total";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The other one may itself wait for its remote's first byte: it gives up before this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for what it must have at hand.
const STORED_TIMEOUT: Duration = Duration::from_secs(3);

/// After so long without a byte it is asked whether the member is still there.
const SILENCE: Duration = Duration::from_secs(2);

/// Without a byte for so long it is given up, although it says that it is there.
const LONGEST_SILENCE: Duration = Duration::from_mins(2);

const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What a member is asked for.
#[derive(Debug, Clone, Copy)]
pub struct PeerRequest<'a> {
    pub digest: &'a Digest,
    /// The first byte that is wanted.
    pub from: u64,
    pub what: PeerContent<'a>,
}

/// What a member may answer with.
#[derive(Debug, Clone, Copy)]
pub enum PeerContent<'a> {
    /// A fill or a blob; with a repository only what is visible there, because nothing else proves a right to it.
    FillOrBlob { repository: Option<&'a Name> },
    /// A whole blob on its disk.
    Blob,
}

/// An answer that has begun.
pub struct PeerFill {
    /// Size of the whole blob, if it was said.
    pub total_bytes: Option<u64>,
    pub body: PeerBody,
}

/// The bytes from the offset on that was asked for.
pub struct PeerBody {
    body: reqwest::Body,
    from: MemberId,
    cluster: Cluster,
}

/// Why another member does not give what it may have.
#[derive(Debug, Clone, thiserror::Error)]
#[error("replica {member}: {message}")]
pub struct PeerError {
    pub kind: PeerErrorKind,
    pub member: MemberId,
    message: String,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerErrorKind {
    /// It looks as if the process is gone.
    Gone,
    /// It is there, and has nothing of it (any more).
    Nothing,
    /// It has it, but not for this repository.
    NeedsRight,
    /// It does not answer as a member should.
    Unusable,
}

/// The client for all members.
pub(super) fn client(tls: rustls::ClientConfig) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .user_agent(concat!("entrepot/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(IDLE_CONNECTION_TIMEOUT)
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .http1_only()
        .build()
}

impl PeerRequest<'_> {
    fn path(&self, member: &MemberId) -> String {
        let Self { digest, from, what } = self;
        match what {
            PeerContent::Blob => format!("/peer/{member}/blobs/{digest}?from={from}"),
            PeerContent::FillOrBlob { repository: None } => {
                format!("/peer/{member}/fills/{digest}?from={from}")
            }
            // A name has no character that a query could not hold.
            PeerContent::FillOrBlob {
                repository: Some(repository),
            } => format!("/peer/{member}/fills/{digest}?from={from}&for={repository}"),
        }
    }
}

impl Cluster {
    /// Asks a member, and waits until the first byte can be had.
    pub async fn ask(
        &self,
        member: &MemberId,
        advertise_url: &Url,
        request: PeerRequest<'_>,
    ) -> Result<PeerFill, PeerError> {
        use PeerErrorKind::{Gone, NeedsRight, Nothing, Unusable};
        let failed = |kind, message| PeerError {
            kind,
            member: member.clone(),
            message,
        };
        let path = request.path(member);
        let url = advertise_url.join(&path);
        let url = url.map_err(|error| failed(Unusable, error.to_string()))?;
        let proof = self.inner.signer.sign(&path, self.now());
        let asked = self.inner.http.get(url).header(AUTHORIZATION, proof).send();
        let within = match request.what {
            PeerContent::Blob => STORED_TIMEOUT,
            PeerContent::FillOrBlob { .. } => ANSWER_TIMEOUT,
        };
        let response = match timeout(within, asked).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return Err(failed(Gone, Chain(&error.without_url()).to_string()));
            }
            Err(_elapsed) => return Err(failed(Unusable, "no answer".to_owned())),
        };
        let kind = match response.status() {
            StatusCode::OK => {
                let header = response.headers().get(TOTAL);
                let total = header.and_then(|total| total.to_str().ok()?.parse().ok());
                return Ok(PeerFill {
                    total_bytes: total,
                    body: PeerBody {
                        body: response.into(),
                        from: member.clone(),
                        cluster: self.clone(),
                    },
                });
            }
            StatusCode::MISDIRECTED_REQUEST => Gone,
            StatusCode::NOT_FOUND => Nothing,
            StatusCode::CONFLICT => NeedsRight,
            _ => Unusable,
        };
        Err(failed(kind, format!("answers {}", response.status())))
    }

    /// Asks all others for a blob that one of them may have on its disk. `None`: nobody answered with it.
    pub async fn ask_all(&self, digest: &Digest, from: u64) -> Option<PeerFill> {
        let request = PeerRequest {
            digest,
            from,
            what: PeerContent::Blob,
        };
        // Who came since the last beat may be the one that has it.
        let _ = timeout(STORED_TIMEOUT, self.beat()).await;
        let members = self.members();
        let others = members.iter().filter(|member| member.id != *self.me());
        let ask = |member: &Member| {
            let (id, url) = (member.id.clone(), member.advertise_url.clone());
            async move { self.ask(&id, &url, request).await.ok() }
        };
        let mut answers: FuturesUnordered<_> = others.map(ask).collect();
        while let Some(answer) = answers.next().await {
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    /// Is this member there, as far as is known?
    pub fn is_there(&self, member: &MemberId) -> bool {
        self.members().iter().any(|there| there.id == *member)
    }
}

impl PeerBody {
    /// The next bytes; `None` at the end. As long as the member is there, it is waited for: it may itself wait.
    pub async fn next(&mut self) -> Option<Result<Bytes, PeerError>> {
        let begun = Instant::now();
        loop {
            let frame = match timeout(SILENCE, self.body.frame()).await {
                Ok(frame) => frame?,
                Err(_elapsed) if !self.cluster.is_there(&self.from) => {
                    return Some(Err(self.broken("is not there any more".to_owned())));
                }
                Err(_elapsed) if begun.elapsed() > LONGEST_SILENCE => {
                    return Some(Err(self.broken("no byte came for too long".to_owned())));
                }
                Err(_elapsed) => continue,
            };
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(bytes)) => return Some(Ok(bytes)),
                Ok(Err(_trailers)) => {}
                Err(error) => return Some(Err(self.broken(Chain(&error).to_string()))),
            }
        }
    }

    fn broken(&self, message: String) -> PeerError {
        PeerError {
            kind: PeerErrorKind::Gone,
            member: self.from.clone(),
            message,
        }
    }
}

/// An error with its causes.
struct Chain<'e>(&'e (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = Some(self.0);
        let mut separator = "";
        while let Some(cause) = error {
            write!(f, "{separator}{cause}")?;
            separator = ": ";
            error = cause.source();
        }
        Ok(())
    }
}
