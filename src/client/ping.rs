//! Is a remote there, and does it take our login? `GET /v2/` (distribution-spec, "Determining Support").

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, Method};

use super::{ClientError, ErrorKind, Patience, RegistryClient, provider, transport::Call};

/// What is said at `/v2/` is of no interest.
const MAX_BYTES: u64 = 64 * 1024;

/// How a remote took us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetIn {
    /// Without a login: we have none, or it asked for none.
    Anonymous,
    Accepted,
    Refused,
}

/// A remote that answered.
#[derive(Debug, Clone)]
pub struct Ping {
    pub latency: Duration,
    pub let_in: LetIn,
    /// What it said when it refused us.
    pub refusal: Option<ClientError>,
}

impl RegistryClient {
    /// Asks once, with our login if the remote wants one. Credentials that are refused are an answer, too.
    pub async fn ping(&self) -> Result<Ping, ClientError> {
        let call = Call {
            kind: "base",
            method: Method::GET,
            path: "v2/".to_owned(),
            scope: String::new(),
            headers: HeaderMap::new(),
            body: None,
            takes_parts: false,
            first_url: 0,
            page: None,
        };
        let started = Instant::now();
        let asked = self
            .transport
            .load(&call, MAX_BYTES, self.deadline(Patience::Full));
        let mut refusal = refusal(asked.await.map(drop))?;
        let mut was_asked = self.transport.was_asked_for_login();
        let has_login = !self.remote().is_anonymous();
        if refusal.is_none() && has_login && !was_asked {
            // The provider may judge a login that its registry does not want yet.
            if let Some(judged) = provider::try_login(self).await {
                (refusal, was_asked) = (self::refusal(judged)?, true);
            }
        }
        let told = refusal.as_ref().map(|refusal| refusal.message.clone());
        self.transport.refusal.store(told.map(Arc::new));
        let let_in = match &refusal {
            Some(_) => LetIn::Refused,
            None if has_login && was_asked => LetIn::Accepted,
            None => LetIn::Anonymous,
        };
        Ok(Ping {
            latency: started.elapsed(),
            let_in,
            refusal,
        })
    }

    /// Why the remote refused our login when it was last pinged. Asks nobody.
    pub fn refusal(&self) -> Option<String> {
        let refusal = self.transport.refusal.load_full();
        refusal.map(|refusal| refusal.as_ref().clone())
    }
}

/// A no to our login is an answer.
fn refusal(answer: Result<(), ClientError>) -> Result<Option<ClientError>, ClientError> {
    match answer {
        Ok(()) => Ok(None),
        Err(error) if matches!(error.kind, ErrorKind::Credentials | ErrorKind::Denied) => {
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}
