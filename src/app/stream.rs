//! A client's TCP stream that neither takes a worker for itself nor waits for ever to be read from.
//!
//! Fairness: the HTTP server writes until the socket takes no more, and a fast reader's socket always takes more; so after
//! each MiB the task gives way once. `yield_now` and not a plain wake-up: only that lets the runtime look at other sockets.
//! Patience: a client that takes no byte for [`STALL_TIMEOUT`] while some are waiting is cut.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

const YIELD_EVERY_BYTES: usize = 1 << 20;
/// As long as container runtimes wait without progress.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_mins(5);

pub(super) struct ClientStream<S> {
    inner: S,
    /// Written since the task last gave way.
    written: usize,
    giving_way: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Made when a write first has to wait, then used again.
    stall: Option<Pin<Box<Sleep>>>,
    /// Is `stall` counting for the wait that goes on now?
    waiting: bool,
}

impl<S> ClientStream<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            written: 0,
            giving_way: None,
            stall: None,
            waiting: false,
        }
    }

    fn poll_give_way(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.written < YIELD_EVERY_BYTES {
            return Poll::Ready(());
        }
        let giving_way = self
            .giving_way
            .get_or_insert_with(|| Box::pin(tokio::task::yield_now()));
        ready!(giving_way.as_mut().poll(cx));
        self.giving_way = None;
        self.written = 0;
        Poll::Ready(())
    }

    fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(result) => {
                self.waiting = false;
                if let Ok(bytes) = &result {
                    self.written += bytes;
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                self.written = 0;
                self.poll_stall(cx)
            }
        }
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIMEOUT)));
        if !self.waiting {
            self.waiting = true;
            stall.as_mut().reset(Instant::now() + STALL_TIMEOUT);
        }
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes no bytes",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_give_way(cx));
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.after_write(cx, polled)
    }

    // Without this and the next, the HTTP server copies every frame into one buffer.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_give_way(cx));
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.after_write(cx, polled)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut() {
        let (server, _client) = tokio::io::duplex(1024);
        let mut stream = ClientStream::new(server);
        let began = Instant::now();
        let error = stream.write_all(&[0; 2048]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_takes_something_is_not() {
        let (server, mut client) = tokio::io::duplex(1024);
        let reader = tokio::spawn(async move {
            let mut taken = vec![0; 1024];
            for _ in 0..4 {
                tokio::time::sleep(STALL_TIMEOUT / 2).await;
                client.read_exact(&mut taken).await.unwrap();
            }
        });
        let mut stream = ClientStream::new(server);
        stream.write_all(&[0; 4096]).await.unwrap();
        reader.await.unwrap();
    }

    #[tokio::test]
    async fn a_writer_gives_way_after_each_mebibyte() {
        let mut stream = ClientStream::new(tokio::io::sink());
        let chunk = vec![0; YIELD_EVERY_BYTES];
        stream.write_all(&chunk).await.unwrap();
        let mut gave_way = 0;
        std::future::poll_fn(|cx| match Pin::new(&mut stream).poll_write(cx, &chunk) {
            Poll::Pending => {
                gave_way += 1;
                Poll::Pending
            }
            Poll::Ready(result) => Poll::Ready(result),
        })
        .await
        .unwrap();
        assert_eq!(gave_way, 1);
    }
}
