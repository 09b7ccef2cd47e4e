//! As much of an HTTP/1.1 client as the measures need: blocking, and with nothing between the
//! socket and the caller's buffer that would be measured along.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may stay silent before the run is given up.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What every request for content accepts: docker-registry asks for an Accept line before it gives
/// an OCI manifest away.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, */*";

pub(crate) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
}

/// An answer whose body is still on the wire.
pub(crate) struct Answer<'a> {
    stream: &'a mut TcpStream,
    head: String,
    status: u16,
    remaining: u64,
    /// The begin of the body, which came along with the head.
    early: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
            .with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_TIMEOUT))?;
        stream.set_write_timeout(Some(SILENCE_TIMEOUT))?;
        Ok(Self { stream, address })
    }

    /// Lets the server stay silent for longer than usual.
    pub(crate) fn be_patient(&self, patience: Duration) -> Result<()> {
        let set = self.stream.set_read_timeout(Some(patience));
        set.context("set a timeout")
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Answer<'_>> {
        self.send("GET", path, &format!("Accept: {ACCEPT}\r\n"), b"")
    }

    /// Sends a request with further header lines, and reads the head of the answer.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Answer<'_>> {
        let length = match method {
            "GET" => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}{length}\r\n",
            self.address
        );
        self.stream
            .write_all(head.as_bytes())
            .context("send a request")?;
        self.stream
            .write_all(body)
            .context("send the body of a request")?;
        Answer::read(&mut self.stream)
            .with_context(|| format!("{method} {path} at {}", self.address))
    }
}

impl<'a> Answer<'a> {
    fn read(stream: &'a mut TcpStream) -> Result<Self> {
        let mut received = Vec::new();
        let end = loop {
            if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            ensure!(
                received.len() < MAX_HEAD_BYTES,
                "the head of the answer is too long"
            );
            let mut buffer = [0; 4096];
            let count = stream
                .read(&mut buffer)
                .context("read the head of the answer")?;
            ensure!(
                count > 0,
                "the server closed the connection without an answer"
            );
            received.extend_from_slice(&buffer[..count]);
        };
        let early = received.split_off(end);
        let head = String::from_utf8(received).context("the head of the answer is not text")?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let mut answer = Self {
            stream,
            status: status.context("an answer without a status")?,
            head,
            remaining: 0,
            early,
        };
        answer.remaining = match answer.header("content-length") {
            Some(length) => length
                .parse()
                .context("a Content-Length that is no number")?,
            None if answer.status == 204 => 0,
            None => bail!("an answer without Content-Length:\n{}", answer.head),
        };
        Ok(answer)
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// How many bytes of the body have not been read.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// All of a small body.
    pub(crate) fn body(&mut self) -> Result<Vec<u8>> {
        let mut body = vec![0; usize::try_from(self.remaining)?];
        let mut length = 0;
        while length < body.len() {
            length += self
                .receive(&mut body[length..])
                .context("receive a body")?;
        }
        Ok(body)
    }

    /// One receive of the body into `buffer`; 0 at its end.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer
            .len()
            .min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = if self.early.is_empty() {
            self.stream.read(&mut buffer[..most])?
        } else {
            let count = most.min(self.early.len());
            buffer[..count].copy_from_slice(&self.early[..count]);
            self.early.drain(..count);
            count
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.remaining -= count as u64;
        Ok(count)
    }
}
