//! Which protocol a client speaks: HTTP/2 begins with its preface, everything else is HTTP/1.1.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a stream, or of a request, speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A stream whose next bytes may have been looked at; reading it gives them again.
pub(super) struct Sniffed<S> {
    inner: S,
    looked_at: Bytes,
    ended: bool,
}

impl<S> Sniffed<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            looked_at: Bytes::new(),
            ended: false,
        }
    }

    /// Bytes that were read and not used.
    pub(super) fn give_back(&mut self, bytes: &Bytes) {
        debug_assert!(
            self.looked_at.is_empty() || bytes.is_empty(),
            "bytes are read in their order"
        );
        if !bytes.is_empty() {
            // A copy: the bytes would keep the whole buffer that they were read into.
            self.looked_at = Bytes::copy_from_slice(bytes);
        }
    }

    /// True when the client will send nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

impl<S: AsyncRead + Unpin> Sniffed<S> {
    /// Waits for the first byte, and for as many as it takes to be sure.
    pub(super) async fn protocol(&mut self) -> io::Result<Protocol> {
        let mut read = self.looked_at.to_vec();
        while PREFACE.starts_with(&read) && read.len() < PREFACE.len() {
            let mut more = [0; PREFACE.len()];
            let wanted = PREFACE.len() - read.len();
            let count = self.inner.read(&mut more[..wanted]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read.extend_from_slice(&more[..count]);
        }
        let protocol = if read.starts_with(PREFACE) {
            Protocol::Http2
        } else {
            Protocol::Http1
        };
        self.looked_at = read.into();
        Ok(protocol)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.looked_at.is_empty() {
            let count = self.looked_at.len().min(buf.remaining());
            buf.put_slice(&self.looked_at[..count]);
            self.looked_at.advance(count);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if matches!(polled, Poll::Ready(Ok(()))) && buf.filled().len() == before {
            self.ended = true;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn spoken(parts: &[&[u8]]) -> (io::Result<Protocol>, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut stream = Sniffed::new(server);
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
        let client = tokio::spawn(async move {
            for part in parts {
                client.write_all(&part).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let protocol = stream.protocol().await;
        client.await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert!(stream.has_ended());
        (protocol, all)
    }

    #[tokio::test]
    async fn the_preface_is_told_however_it_comes_and_nothing_is_lost() {
        for (parts, protocol) in [
            (vec![&PREFACE[..], b"more"], Protocol::Http2),
            (vec![&PREFACE[..3], &PREFACE[3..]], Protocol::Http2),
            (vec![b"P", b"UT / HTTP/1.1\r\n\r\n"], Protocol::Http1),
            (vec![b"GET / HTTP/1.1\r\n\r\n"], Protocol::Http1),
            (vec![&PREFACE[..16], b"XX"], Protocol::Http1),
        ] {
            let (spoken, all) = spoken(&parts).await;
            assert_eq!(spoken.unwrap(), protocol, "{parts:?}");
            assert_eq!(all, parts.concat());
        }
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_whole_speaks_nothing() {
        assert!(spoken(&[]).await.0.is_err());
        assert!(spoken(&[b"PRI"]).await.0.is_err());
    }
}
