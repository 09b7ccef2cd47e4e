//! The HTTP client under `object_store`: our certificates, and an end to every wait.
//!
//! `object_store` can limit whole requests, which cuts large objects off, or the time without a byte from the server, which
//! cuts large parts off while they are still being sent. So time is limited here: by what is sent until the answer
//! begins, and between any two pieces of a body after that. What comes too late is a timeout to `object_store`, which asks
//! again where that is safe.

use std::{
    io,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Method;
use http_body::{Body, Frame, SizeHint};
use object_store::{
    Certificate, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService, ReqwestConnector,
    },
};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use tokio::time::{Instant, Sleep, timeout};

/// From a question to the beginning of its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The same where the server may have to put an object together first.
const WORK_TIMEOUT: Duration = Duration::from_mins(5);
/// What an upload gets on top of [`ANSWER_TIMEOUT`]: slower lines are given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 128 * 1024;
/// Between two pieces of a body.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Enough for every error document; `object_store` puts it into its message.
const ERROR_BODY_BYTES: u64 = 16 * 1024;

/// The machine's certificates, else Mozilla's: an image from scratch has none. Those that cannot be read are left out.
static ROOTS: LazyLock<Vec<Certificate>> = LazyLock::new(|| {
    let native = rustls_native_certs::load_native_certs().certs;
    let native = usable(&native);
    if native.is_empty() {
        usable(webpki_root_certs::TLS_SERVER_ROOT_CERTS)
    } else {
        native
    }
});

fn usable(certificates: &[CertificateDer<'_>]) -> Vec<Certificate> {
    let is_root = |der: &&CertificateDer<'_>| RootCertStore::empty().add((*der).clone()).is_ok();
    let usable = certificates.iter().filter(is_root);
    usable
        .filter_map(|der| Certificate::from_der(der).ok())
        .collect()
}

/// Makes the clients of a bucket, and of where its credentials come from.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let options = options
            .clone()
            .with_timeout_disabled()
            .with_no_system_certificates(true);
        let roots = ROOTS.iter().cloned();
        let options = roots.fold(options, ClientOptions::with_root_certificate);
        let client = ReqwestConnector::default().connect(&options)?;
        Ok(HttpClient::new(Limited { client }))
    }
}

/// A client whose every wait ends.
#[derive(Debug)]
struct Limited {
    client: HttpClient,
}

impl HttpService for Limited {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let sent = request.body().size_hint().exact().unwrap_or_default();
            let within = answer_timeout(request.method(), sent);
            let answer = match timeout(within, self.client.execute(request)).await {
                Ok(answer) => answer?,
                Err(elapsed) => return Err(HttpError::new(HttpErrorKind::Timeout, elapsed)),
            };
            let limit = (!answer.status().is_success()).then_some(ERROR_BODY_BYTES);
            Ok(answer.map(|body| HttpResponseBody::new(LimitedBody::new(body, limit))))
        })
    }
}

/// How long a question with a body of this size may go without an answer.
fn answer_timeout(method: &Method, sent_bytes: u64) -> Duration {
    let sending = Duration::from_secs(sent_bytes / SLOWEST_BYTES_PER_SECOND);
    let answering = match *method {
        Method::POST => WORK_TIMEOUT,
        _ => ANSWER_TIMEOUT,
    };
    answering + sending
}

/// A body that ends with an error when nothing comes for a while, and after `left` bytes if it is limited.
struct LimitedBody {
    body: HttpResponseBody,
    left: Option<u64>,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
}

impl LimitedBody {
    fn new(body: HttpResponseBody, left: Option<u64>) -> Self {
        Self {
            body,
            left,
            timer: Box::pin(tokio::time::sleep(IDLE_TIMEOUT)),
            waiting: false,
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.waiting, true) {
            self.timer.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
        }
        self.timer.as_mut().poll(cx)
    }

    /// Cuts what is too long: the beginning of an error document says enough.
    fn limit(&mut self, bytes: Bytes) -> Bytes {
        let Some(left) = &mut self.left else {
            return bytes;
        };
        let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
        *left -= taken as u64;
        bytes.slice(..taken)
    }
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.poll_idle(cx));
                let silent = io::Error::new(io::ErrorKind::TimedOut, "no byte came for too long");
                return Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, silent))));
            }
        };
        self.waiting = false;
        let limit = |frame: Frame<Bytes>| frame.map_data(|bytes| self.limit(bytes));
        Poll::Ready(frame.map(|frame| frame.map(limit)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0) || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            None => self.body.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_has_time_for_its_bytes() {
        let seconds = |method, bytes| answer_timeout(&method, bytes).as_secs();
        assert_eq!(seconds(Method::GET, 0), 15);
        assert_eq!(seconds(Method::PUT, 16 << 20), 15 + 128);
        assert_eq!(seconds(Method::POST, 0), 300);
    }

    #[test]
    fn there_are_certificates_to_trust() {
        assert!(!ROOTS.is_empty());
        assert!(!usable(webpki_root_certs::TLS_SERVER_ROOT_CERTS).is_empty());
        assert!(usable(&[CertificateDer::from_slice(b"none")]).is_empty());
    }
}
