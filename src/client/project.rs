//! What a push needs at a remote before content can be sent there: a project, a namespace or the repository itself, where the
//! provider does not make it by itself. Which that is, and how, is each provider's.

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde_json::Value;

use super::{
    ClientError, Patience, RegistryClient, provider, push::MAX_ANSWER_BYTES, transport::Document,
};
use crate::oci::Name;

/// What came of making a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It is there now.
    There,
    /// It is not, and we cannot make it: which project, and the right that it takes.
    Refused(String),
    /// It may not be there, and we cannot make it; a push will tell. What to say if that fails.
    Unsure(String),
}

impl RegistryClient {
    /// What must be there before a push to this repository; `None`: nothing, or it comes by itself.
    pub fn project_needed<'n>(&self, name: &'n Name) -> Option<&'n str> {
        provider::needed(self.remote(), name)
    }

    /// Makes what [`Self::project_needed`] names for this repository, if it is not there.
    pub async fn project_make(&self, name: &Name) -> Result<Made, ClientError> {
        provider::make_project(self, name).await
    }

    /// A call of the management API that a remote has beside its registry: a path below its URLs, with our login from the
    /// start.
    pub(super) async fn manage(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Document, ClientError> {
        let mut call = Self::plain_call("manage", method, path);
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            call.headers.insert(header::CONTENT_TYPE, json);
            call.body = Some(Bytes::from(body.to_string()));
        }
        let deadline = self.deadline(Patience::Full);
        self.transport.load(&call, MAX_ANSWER_BYTES, deadline).await
    }
}

/// "may not create project `x` at `edge`: …".
pub(super) fn refusal(
    client: &RegistryClient,
    what: &str,
    name: &str,
    needs: &str,
    error: &ClientError,
) -> String {
    let (remote, said) = (&client.remote().name, &error.message);
    format!("may not create {what} `{name}` at `{remote}`: needs {needs} ({said})")
}
