//! `multipart/byteranges` (RFC 9110, 14.6): several ranges of one blob in one body, read one after the other.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Opens a body of one range.
pub(super) trait Open {
    type Part: Body<Data = Bytes, Error = io::Error> + Unpin;
    fn open(&self, range: Range<u64>) -> Self::Part;
}

impl Open for crate::transfer::Content {
    type Part = crate::transfer::ContentBody;
    fn open(&self, range: Range<u64>) -> Self::Part {
        self.body(Some(range))
    }
}

/// The body. Each part is opened when its turn comes, so at most one is open.
pub(super) struct Multipart<O: Open> {
    content: O,
    waiting: VecDeque<(Bytes, Range<u64>)>,
    open: Option<O::Part>,
    /// Sent once no part is left.
    closing: Option<Bytes>,
    /// Bytes not yet sent.
    left: u64,
}

impl<O: Open> Multipart<O> {
    /// `boundary` must not occur in the content (a random one does not).
    pub(super) fn new(
        content: O,
        ranges: Vec<Range<u64>>,
        len: u64,
        content_type: &str,
        boundary: &str,
    ) -> Self {
        let waiting: VecDeque<_> = ranges
            .into_iter()
            .map(|range| {
                let head = format!(
                    "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {}\r\n\r\n",
                    content_range(&range, len),
                );
                (Bytes::from(head), range)
            })
            .collect();
        let closing = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let parts: u64 = waiting
            .iter()
            .map(|(head, range)| head.len() as u64 + (range.end - range.start))
            .sum();
        Self {
            content,
            left: parts + closing.len() as u64,
            waiting,
            open: None,
            closing: Some(closing),
        }
    }

    fn send(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.left -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

/// `bytes first-last/len`
pub(super) fn content_range(range: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.start, range.end - 1)
}

impl<O: Open + Unpin> Body for Multipart<O> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(part) = &mut this.open {
            match ready!(Pin::new(part).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Blobs have no trailers.
                    return this.send(frame.into_data().unwrap_or_default());
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.open = None,
            }
        }
        if let Some((head, range)) = this.waiting.pop_front() {
            this.open = Some(this.content.open(range));
            return this.send(head);
        }
        match this.closing.take() {
            Some(closing) => this.send(closing),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.closing.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, combinators::BoxBody};

    use super::*;

    struct Text(&'static str);

    impl Open for Text {
        type Part = BoxBody<Bytes, io::Error>;
        #[expect(clippy::cast_possible_truncation, reason = "tests use short texts")]
        fn open(&self, range: Range<u64>) -> Self::Part {
            let bytes = &self.0.as_bytes()[range.start as usize..range.end as usize];
            Full::new(Bytes::from_static(bytes))
                .map_err(|never| match never {})
                .boxed()
        }
    }

    fn parts() -> Multipart<Text> {
        Multipart::new(Text("0123456789"), vec![6..8, 0..2], 10, "a/b", "XX")
    }

    #[tokio::test]
    async fn parts_follow_one_another_in_the_order_asked_for() {
        let body = parts().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            "\r\n--XX\r\nContent-Type: a/b\r\nContent-Range: bytes 6-7/10\r\n\r\n67\
             \r\n--XX\r\nContent-Type: a/b\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
             \r\n--XX--\r\n"
        );
    }

    #[tokio::test]
    async fn the_announced_length_is_the_length() {
        let announced = parts().size_hint().exact().unwrap();
        let sent = parts().collect().await.unwrap().to_bytes().len() as u64;
        assert_eq!(announced, sent);
    }
}
