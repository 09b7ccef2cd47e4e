//! Upload sessions at a remote (distribution-spec, "Pushing blobs"): one request for each step; `transfer::send` puts them
//! together. A session stays at the URL of the remote that opened it.
//!
//! What a step sends comes from a [`Lender`], and can be sent once: after a failure the caller asks how far the session
//! is and lends again from there.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::{Instant, timeout};
use url::Url;

use super::{
    ClientError, ErrorKind, Patience, RegistryClient,
    authorize::Carried,
    body::read_bounded,
    endpoint::{Endpoint, Incoming, Outgoing, Payload},
    error::{Failure, clean},
    lend::{Feed, Lender, Pulse, Terms, UploadBody},
    push::MAX_ANSWER_BYTES,
    transport::{Call, Document, Transport, refusal},
};
use crate::oci::{Digest, Name, Path};

/// The least that a chunk must have, as the registry wants it.
const OCI_CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";
/// A remote that takes nothing is given up after so many times the time without a byte that a download is granted: what is
/// on its way in buffers must drain first.
const STALLS: u32 = 4;
/// How long a remote may take to verify and store what it was sent.
const COMMIT_TIMEOUT: Duration = Duration::from_mins(5);
const ANSWER_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// An open upload session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadSession {
    name: Name,
    /// Place of the URL that opened it.
    place: usize,
    pub url: Url,
    /// How many bytes the remote has, by its own word.
    pub received: u64,
    /// No chunk but the last may be smaller.
    pub min_chunk_bytes: u64,
}

/// What came of the wish to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// The repository has the blob now, without a byte of it being sent.
    Mounted,
    Session(UploadSession),
}

impl RegistryClient {
    /// Opens a session.
    pub async fn upload_start(&self, name: &Name) -> Result<UploadSession, ClientError> {
        let answer = self.change(&self.start_call(name, "")).await?;
        self.opened(name, &answer)
    }

    /// Asks for the blob of another repository there; a remote that will not opens a session.
    pub async fn blob_mount(
        &self,
        name: &Name,
        digest: &Digest,
        from: &Name,
    ) -> Result<Started, ClientError> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("mount", &digest.to_string())
            .append_pair("from", from.as_str())
            .finish();
        let mut call = self.start_call(name, &query);
        call.scope = format!("{} repository:{from}:pull", call.scope);
        let answer = self.change(&call).await?;
        match answer.status {
            StatusCode::CREATED => Ok(Started::Mounted),
            _ => self.opened(name, &answer).map(Started::Session),
        }
    }

    /// A session that was opened earlier, perhaps by another process; `None`: it is at none of the remote's URLs. How far
    /// it is must be asked for.
    pub fn upload_known(
        &self,
        name: &Name,
        url: Url,
        min_chunk_bytes: u64,
    ) -> Option<UploadSession> {
        let mut endpoints = self.transport.endpoints.iter();
        let place = endpoints.position(|endpoint| endpoint.url.origin() == url.origin())?;
        Some(UploadSession {
            name: name.clone(),
            place,
            url,
            received: 0,
            min_chunk_bytes,
        })
    }

    /// Asks how far the session is. `NotFound` or `Invalid`: it is no more.
    pub async fn upload_status(&self, session: &mut UploadSession) -> Result<(), ClientError> {
        let call = self.session_call(Method::GET, session);
        let deadline = self.deadline(Patience::Full);
        let load = self.transport.load(&call, MAX_ANSWER_BYTES, deadline);
        let answer = load.await?;
        session
            .move_to(&answer.headers)
            .map_err(|why| self.invalid(why))?;
        session.received = received(&answer.headers).unwrap_or(0);
        Ok(())
    }

    /// Appends the next `bytes` that are lent, and notes how far the session is then.
    pub async fn upload_append<F: Feed>(
        &self,
        session: &mut UploadSession,
        lender: &Lender<F>,
        bytes: u64,
    ) -> Result<(), ClientError> {
        let mut call = self.session_call(Method::PATCH, session);
        let end = session.received + bytes;
        let range = format!("{}-{}", session.received, end.saturating_sub(1));
        let range = HeaderValue::try_from(range).expect("visible ASCII");
        call.headers.insert(header::CONTENT_RANGE, range);
        let answer = self.send(&call, session, lender, Some(bytes)).await?;
        session.move_to(&answer).map_err(|why| self.invalid(why))?;
        session.received = received(&answer).unwrap_or(end);
        Ok(())
    }

    /// Sends what is still lent, `bytes` if that is known, and ends the session: the blob is there.
    pub async fn upload_finish<F: Feed>(
        &self,
        session: &UploadSession,
        digest: &Digest,
        lender: &Lender<F>,
        bytes: Option<u64>,
    ) -> Result<(), ClientError> {
        let mut session = session.clone();
        session
            .url
            .query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        let call = self.session_call(Method::PUT, &session);
        self.send(&call, &session, lender, bytes).await.map(drop)
    }

    /// Gives a session up, as far as the remote lets us.
    pub async fn upload_cancel(&self, session: &UploadSession) -> Result<(), ClientError> {
        let call = self.session_call(Method::DELETE, session);
        self.change(&call).await.map(drop)
    }

    fn start_call(&self, name: &Name, query: &str) -> Call {
        let path = Path::Uploads { name: name.clone() };
        let path = match query {
            "" => path.to_string(),
            query => format!("{path}?{query}"),
        };
        self.call("upload", Method::POST, &path, name)
    }

    fn session_call(&self, method: Method, session: &UploadSession) -> Call {
        let mut call = self.call("upload", method, "", &session.name);
        call.page = Some((session.place, session.url.clone()));
        call
    }

    fn opened(&self, name: &Name, answer: &Document) -> Result<UploadSession, ClientError> {
        if !answer.headers.contains_key(header::LOCATION) {
            return Err(self.invalid("opens no upload session"));
        }
        let min_chunk = answer.headers.get(OCI_CHUNK_MIN_LENGTH);
        let min_chunk = min_chunk.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut session = UploadSession {
            name: name.clone(),
            place: answer.endpoint,
            url: answer.url.clone(),
            received: 0,
            min_chunk_bytes: min_chunk.unwrap_or(0),
        };
        session
            .move_to(&answer.headers)
            .map_err(|why| self.invalid(why))?;
        Ok(session)
    }

    async fn send<F: Feed>(
        &self,
        call: &Call,
        session: &UploadSession,
        lender: &Lender<F>,
        bytes: Option<u64>,
    ) -> Result<HeaderMap, ClientError> {
        let transport = &self.transport;
        let mut deadline = self.deadline(Patience::Full);
        let slot = transport.slot(&mut deadline).await;
        let _slot = slot.map_err(|failure| failure.error)?;
        let pulse = Pulse::new(bytes);
        let terms = Terms {
            pulse: pulse.clone(),
            bandwidth: transport.limits.bandwidth.clone(),
            priority: deadline.priority,
        };
        let body = lender.lend(bytes, terms);
        let endpoint = &transport.endpoints[session.place];
        let began = Instant::now();
        let sent = tokio::select! {
            biased;
            sent = transport.upload(call, endpoint, &session.url, body) => sent,
            () = pulse.stopped(self.remote().idle_timeout * STALLS, COMMIT_TIMEOUT) => {
                let message = "takes no more of the upload";
                let error = ClientError::new(ErrorKind::TimedOut, transport.remote(), message);
                Err(Failure::again(error))
            }
        };
        // That we have nothing to send says nothing about who should get it.
        if !pulse.is_broken() {
            endpoint.note(&transport.wire, began, sent.as_ref().err());
        }
        sent.map_err(|failure| endpoint.note_limit(call.cost(), failure).error)
    }
}

impl Transport {
    /// Layers 5 to 8 for a body that can be sent once. After a 401 the token is renewed for the next try.
    async fn upload<F: Feed>(
        &self,
        call: &Call,
        endpoint: &Endpoint,
        url: &Url,
        body: UploadBody<F>,
    ) -> Result<HeaderMap, Failure> {
        let wire = &self.wire;
        let carried = self.authorizer.up_front(wire, endpoint, &call.scope);
        let carried = carried.await?;
        let outgoing = Outgoing {
            kind: call.kind,
            method: &call.method,
            url: url.clone(),
            headers: &call.headers,
            authorization: carried.header(),
            body: Payload::Once(Some(reqwest::Body::wrap(body))),
        };
        let incoming = endpoint.exchange(wire, outgoing).await?;
        let status = incoming.response.status();
        if status == StatusCode::UNAUTHORIZED && !incoming.foreign {
            return Err(self.unauthorized(call, endpoint, incoming, carried).await);
        }
        if !status.is_success() {
            return Err(refusal(wire, incoming).await);
        }
        let headers = incoming.response.headers().clone();
        // A body read to its end leaves the connection for the next request.
        let read = read_bounded(&wire.remote, incoming.response, MAX_ANSWER_BYTES);
        let _ = timeout(ANSWER_BODY_TIMEOUT, read).await;
        Ok(headers)
    }

    async fn unauthorized(
        &self,
        call: &Call,
        endpoint: &Endpoint,
        incoming: Incoming,
        carried: Carried,
    ) -> Failure {
        let headers = incoming.response.headers().clone();
        let better = self
            .authorizer
            .answer(&self.wire, endpoint, &headers, &call.scope, carried);
        match better.await {
            Ok(_) => refusal(&self.wire, incoming).await,
            Err(failure) => failure,
        }
    }
}

impl UploadSession {
    /// Goes on where the answer says. Scheme and port stay as they are: servers behind a proxy often do not know their own.
    fn move_to(&mut self, headers: &HeaderMap) -> Result<(), String> {
        let Some(location) = headers.get(header::LOCATION) else {
            return Ok(());
        };
        let text = location.to_str().ok();
        let found = text.and_then(|text| self.url.join(text).ok());
        let found = found.ok_or("its upload session is at what is no URL")?;
        if found.host() != self.url.host() {
            let host = clean(found.host_str().unwrap_or_default(), 100);
            return Err(format!(
                "its upload session leads to another host, `{host}`"
            ));
        }
        self.url.set_path(found.path());
        self.url.set_query(found.query());
        Ok(())
    }
}

/// How many bytes a session has, by its `Range: 0-<last>`. An empty one says `0-0`, as one with a single byte does: that one
/// is taken for empty, and refused later if it was not.
fn received(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::RANGE)?.to_str().ok()?.trim();
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    let (_, last) = text.split_once('-')?;
    match last.trim().parse::<u64>().ok()? {
        0 => Some(0),
        last => last.checked_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> UploadSession {
        UploadSession {
            name: "a".parse().unwrap(),
            place: 0,
            url: "https://r.io:8443/v2/a/blobs/uploads/".parse().unwrap(),
            received: 0,
            min_chunk_bytes: 0,
        }
    }

    fn moved(location: &str) -> Result<String, String> {
        let mut session = session();
        let headers = HeaderMap::from_iter([(header::LOCATION, location.parse().unwrap())]);
        session.move_to(&headers)?;
        Ok(session.url.to_string())
    }

    #[test]
    fn a_session_goes_on_at_the_same_host_only_by_the_way_we_know() {
        let at = |url: &str| Ok(url.to_owned());
        let there = "https://r.io:8443/v2/a/blobs/uploads/1?_state=x";
        assert_eq!(moved("/v2/a/blobs/uploads/1?_state=x"), at(there));
        assert_eq!(
            moved("http://r.io/v2/a/blobs/uploads/1?_state=x"),
            at(there)
        );
        assert!(moved("https://evil.io/v2/a/blobs/uploads/1").is_err());
    }

    #[test]
    fn the_range_of_a_session_tells_how_far_it_is() {
        let read = |text: &str| {
            received(&HeaderMap::from_iter([(
                header::RANGE,
                text.parse().unwrap(),
            )]))
        };
        assert_eq!(read("0-99"), Some(100));
        assert_eq!(read("bytes=0-99"), Some(100));
        assert_eq!(read("0-0"), Some(0));
        assert_eq!(read("none"), None);
        assert_eq!(received(&HeaderMap::new()), None);
    }
}
