//! A body that counts its bytes and knows whether it reached its end. Frames pass as they are.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

/// Hears of a body's way.
pub(super) trait Recorder: Unpin + Send + 'static {
    fn sent(&mut self, bytes: u64);
    /// Once, when nothing more will be sent.
    fn ended(&mut self, complete: bool);
}

pub(super) struct RecordedBody<R: Recorder> {
    inner: Body,
    recorder: R,
    /// What the body said at first; the server stops reading when it has sent so much.
    announced: Option<u64>,
    sent: u64,
    reached_end: bool,
}

impl<R: Recorder> RecordedBody<R> {
    pub(super) fn new(inner: Body, recorder: R) -> Self {
        Self {
            announced: inner.size_hint().exact(),
            reached_end: inner.is_end_stream(),
            inner,
            recorder,
            sent: 0,
        }
    }
}

impl<R: Recorder> http_body::Body for RecordedBody<R> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.sent += bytes;
                self.recorder.sent(bytes);
            }
            Poll::Ready(None) => self.reached_end = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<R: Recorder> Drop for RecordedBody<R> {
    fn drop(&mut self) {
        let complete = self.reached_end
            || self.inner.is_end_stream()
            || self
                .announced
                .is_some_and(|announced| self.sent >= announced);
        self.recorder.ended(complete);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<(u64, Option<bool>)>>);

    impl Recorder for Heard {
        fn sent(&mut self, bytes: u64) {
            self.0.lock().unwrap().0 += bytes;
        }
        fn ended(&mut self, complete: bool) {
            self.0.lock().unwrap().1 = Some(complete);
        }
    }

    fn chunks(chunks: Vec<Result<&'static str, std::io::Error>>) -> Body {
        Body::new(StreamBody::new(stream::iter(chunks.into_iter().map(
            |chunk| chunk.map(|text| Frame::data(Bytes::from_static(text.as_bytes()))),
        ))))
    }

    #[tokio::test]
    async fn a_body_read_to_its_end_is_complete() {
        let heard = Heard::default();
        let body = RecordedBody::new(chunks(vec![Ok("abc"), Ok("de")]), heard.clone());
        body.collect().await.unwrap();
        assert_eq!(*heard.0.lock().unwrap(), (5, Some(true)));
    }

    #[tokio::test]
    async fn a_body_left_in_the_middle_is_not() {
        let heard = Heard::default();
        let mut body = RecordedBody::new(chunks(vec![Ok("abc"), Ok("de")]), heard.clone());
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(*heard.0.lock().unwrap(), (3, Some(false)));
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_not() {
        let heard = Heard::default();
        let broken = Err(std::io::Error::other("cut"));
        let body = RecordedBody::new(chunks(vec![Ok("abc"), broken]), heard.clone());
        assert!(body.collect().await.is_err());
        assert_eq!(*heard.0.lock().unwrap(), (3, Some(false)));
    }

    /// Three bytes, said beforehand, by a body that never says that it is at its end; as content from a file.
    struct Three;

    impl http_body::Body for Three {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"abc")))))
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(3)
        }
    }

    #[tokio::test]
    async fn a_body_of_known_size_is_complete_with_its_last_byte() {
        let heard = Heard::default();
        let mut body = RecordedBody::new(Body::new(Three), heard.clone());
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(*heard.0.lock().unwrap(), (3, Some(true)));
    }

    #[tokio::test]
    async fn an_empty_body_is_complete_unread() {
        let heard = Heard::default();
        drop(RecordedBody::new(Body::empty(), heard.clone()));
        assert_eq!(*heard.0.lock().unwrap(), (0, Some(true)));
    }
}
