//! One client that pushes.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::content::{Content, MANIFEST_TYPE, REPOSITORY};
use crate::http::{Answer, Connection};

/// `admin` with the password `bench`.
pub(crate) const LOGIN: &str = "Authorization: Basic YWRtaW46YmVuY2g=\r\n";
const BLOB_TYPE: &str = "Content-Type: application/octet-stream\r\n";

pub(crate) struct Pusher {
    address: SocketAddr,
    /// Header lines that say who it is.
    login: String,
    repository: String,
}

/// How a blob is sent after POST has begun a session.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// One PUT brings all of it, as of containerd.
    Put,
    /// One PATCH brings all of it, and PUT the digest, as of Docker.
    PatchAndPut,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl Pusher {
    /// For a registry that asks nobody to log in.
    pub(crate) fn anonymous(address: SocketAddr) -> Self {
        Self {
            address,
            login: String::new(),
            repository: REPOSITORY.to_owned(),
        }
    }

    /// For an Entrepot, with the password at each request.
    pub(crate) fn admin(address: SocketAddr) -> Self {
        Self {
            login: LOGIN.to_owned(),
            ..Self::anonymous(address)
        }
    }

    /// The same for another repository.
    pub(crate) fn of(&self, repository: &str) -> Self {
        Self {
            address: self.address,
            login: self.login.clone(),
            repository: repository.to_owned(),
        }
    }

    /// Gets a token for pushes, as clients do.
    pub(crate) fn logged_in(address: SocketAddr) -> Result<Self> {
        let path = format!("/token?scope=repository:{REPOSITORY}:pull,push");
        let mut connection = Connection::open(address)?;
        let mut answer = connection.send("GET", &path, LOGIN, b"")?;
        expect(&answer, 200, "a login")?;
        let Token { token } = serde_json::from_slice(&answer.body()?).context("read a token")?;
        Ok(Self {
            login: format!("Authorization: Bearer {token}\r\n"),
            ..Self::anonymous(address)
        })
    }

    pub(crate) fn push_blob(&self, blob: &Content, body: &[u8], way: Way) -> Result<()> {
        let mut connection = Connection::open(self.address)?;
        let path = format!("/v2/{}/blobs/uploads/", self.repository);
        let begun = connection.send("POST", &path, &self.login, b"")?;
        expect(&begun, 202, "an upload")?;
        let mut location = location(&begun)?;

        let headers = format!("{}{BLOB_TYPE}", self.login);
        let mut rest = body;
        if let Way::PatchAndPut = way {
            let patched = connection.send("PATCH", &location, &headers, body)?;
            expect(&patched, 202, "a chunk")?;
            location = self::location(&patched)?;
            rest = b"";
        }
        let separator = if location.contains('?') { '&' } else { '?' };
        let target = format!("{location}{separator}digest={}", blob.digest);
        let done = connection.send("PUT", &target, &headers, rest)?;
        expect(&done, 201, "a blob")
    }

    pub(crate) fn push_manifest(&self, body: &[u8], tag: &str) -> Result<()> {
        let mut connection = Connection::open(self.address)?;
        let path = format!("/v2/{}/manifests/{tag}", self.repository);
        let headers = format!("{}Content-Type: {MANIFEST_TYPE}\r\n", self.login);
        let done = connection.send("PUT", &path, &headers, body)?;
        expect(&done, 201, "a manifest")
    }
}

fn expect(answer: &Answer, status: u16, what: &str) -> Result<()> {
    let got = answer.status();
    ensure!(got == status, "the registry refuses {what}: {got}");
    Ok(())
}

/// Without the host: all requests go over one connection.
fn location(answer: &Answer) -> Result<String> {
    let location = answer.header("location");
    let location = location.context("an upload without a location")?;
    let at = location.find("/v2/").context("a location elsewhere")?;
    Ok(location[at..].to_owned())
}
