//! Docker's protocol for credential helpers: `docker-credential-<name> get` reads the server's name from its input and
//! prints `{"Username": …, "Secret": …}`; the user name `<token>` says that the secret is an identity token.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use super::{CredentialError, Grant, Login, Source};
use crate::client::error::clean;

const MAX_OUTPUT_BYTES: u64 = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);
/// The protocol does not say how long a login is good. Programs that hand out short ones keep some time in reserve.
const LIFETIME: Duration = Duration::from_mins(5);
/// What the helpers of Docker print for a server that they do not know.
const NOT_FOUND: &str = "credentials not found";

/// One program, asked for one server.
pub(super) struct Helper {
    program: PathBuf,
    server: String,
    /// It is the only place where a login is looked up.
    required: bool,
}

impl Helper {
    pub(super) fn required(program: PathBuf, server: String) -> Self {
        Self {
            program,
            server,
            required: true,
        }
    }

    pub(super) fn optional(program: PathBuf, server: String) -> Self {
        Self {
            required: false,
            ..Self::required(program, server)
        }
    }

    async fn ask(&self) -> Result<Grant, CredentialError> {
        let failed = |detail: String| {
            let name = self.program.file_name().map(Path::new);
            let what = format!("`{}`", name.unwrap_or(&self.program).display());
            CredentialError::new(format!("{what} gives none"), detail)
        };
        let output = match tokio::time::timeout(TIMEOUT, run(&self.program, &self.server)).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
                return Err(failed(error.to_string()).refused());
            }
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => {
                return Err(failed(format!(
                    "no answer in {} seconds",
                    TIMEOUT.as_secs()
                )));
            }
        };
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            let text = clean(&String::from_utf8_lossy(&text), 300);
            let error = failed(format!("{} ({text})", output.status));
            return match (text.contains(NOT_FOUND), self.required) {
                (true, false) => Ok(grant(None)),
                (true, true) => Err(error.refused()),
                (false, _) => Err(error),
            };
        }
        read(&output.stdout)
            .map(|login| grant(Some(login)))
            .ok_or_else(|| {
                failed("its output is not what a credential helper prints".to_owned()).refused()
            })
    }
}

impl Source for Helper {
    fn fetch(&self) -> BoxFuture<'_, Result<Grant, CredentialError>> {
        self.ask().boxed()
    }
}

fn grant(login: Option<Login>) -> Grant {
    Grant {
        login,
        lifetime: LIFETIME,
    }
}

/// Runs the program to its end; it is killed when this is dropped.
async fn run(program: &Path, server: &str) -> std::io::Result<Output> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let Child {
        stdin,
        stdout,
        stderr,
        ..
    } = &mut child;
    let (mut stdin, stdout, stderr) = (stdin.take(), stdout.take(), stderr.take());
    let asked = async {
        // A program that does not read its input may be gone by now: its output says why.
        if let Some(mut stdin) = stdin.take() {
            let _ = stdin.write_all(server.as_bytes()).await;
        }
    };
    let ((), stdout, stderr) = tokio::join!(asked, bounded(stdout), bounded(stderr));
    Ok(Output {
        stdout: stdout?,
        stderr: stderr?,
        status: child.wait().await?,
    })
}

async fn bounded(output: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(output) = output else {
        return Ok(bytes);
    };
    output
        .take(MAX_OUTPUT_BYTES + 1)
        .read_to_end(&mut bytes)
        .await?;
    if bytes.len() as u64 > MAX_OUTPUT_BYTES {
        return Err(std::io::Error::other("more output than 64 KiB"));
    }
    Ok(bytes)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

fn read(output: &[u8]) -> Option<Login> {
    let answer: Answer = serde_json::from_slice(output).ok()?;
    match answer.username.as_str() {
        _ if answer.secret.is_empty() => None,
        "<token>" => Some(Login::token(&answer.secret)),
        username => Some(Login::password(username, &answer.secret)),
    }
}
