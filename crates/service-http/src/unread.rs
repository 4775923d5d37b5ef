//! Bodies that a handler does not read to their end, because it refuses the request before.
//!
//! HTTP/1.1 has no way to skip them: the next request of the connection begins behind the body. hyper therefore closes
//! the connection, without saying so, and a client that sends its next request meanwhile loses it.

use std::{
    mem::take,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderValue, header},
};
use futures::StreamExt as _;
use hyper::body::{Frame, SizeHint};

use super::MAX_BODY_BYTES;

/// How long the rest of a body is waited for.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The rest of a request's body, once its handler is done with it.
#[derive(Debug)]
pub(crate) struct Unread {
    rest: Arc<Mutex<Option<Body>>>,
    /// The client waits for a response before it sends the body: reading would request it.
    expects_continue: bool,
}

impl Unread {
    /// Returns the body for the handler. `None` if there is no body.
    pub(crate) fn lend(headers: &HeaderMap, body: Body) -> (Body, Option<Self>) {
        if body.is_end_stream() {
            return (body, None);
        }
        let rest = Arc::default();
        let lent = Body::new(Lent { body: Some(body), rest: Arc::clone(&rest) });
        (lent, Some(Self { rest, expects_continue: headers.contains_key(header::EXPECT) }))
    }

    /// Reads and throws away the rest, within limits of size and time. If it cannot, the response with these headers
    /// says that the connection ends.
    pub(crate) async fn discard(self, headers: &mut HeaderMap) {
        let Some(rest) = take(&mut *self.rest.lock().unwrap_or_else(PoisonError::into_inner)) else { return };
        let discarded = !self.expects_continue && tokio::time::timeout(TIMEOUT, all_of(rest)).await.unwrap_or(false);
        if !discarded {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Returns whether the body could be read to its end.
async fn all_of(body: Body) -> bool {
    let (mut chunks, mut length) = (body.into_data_stream(), 0);
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return false };
        length += chunk.len();
        if length > MAX_BODY_BYTES {
            return false;
        }
    }
    true
}

/// A body that comes back when it is dropped before its end.
struct Lent {
    body: Option<Body>,
    rest: Arc<Mutex<Option<Body>>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures::stream;

    use super::*;

    /// Lends a body of these chunks, whose handler reads the first of them, and returns what the response says.
    async fn after_one_chunk(headers: &HeaderMap, chunks: Vec<io::Result<Vec<u8>>>, ends: bool) -> HeaderMap {
        let chunks = stream::iter(chunks).chain(stream::iter((!ends).then_some(())).then(|()| std::future::pending()));
        let (lent, unread) = Unread::lend(headers, Body::from_stream(chunks));
        let mut lent = lent.into_data_stream();
        assert_eq!(lent.next().await.unwrap().unwrap(), "a");
        drop(lent);
        let mut response = HeaderMap::new();
        unread.unwrap().discard(&mut response).await;
        response
    }

    #[tokio::test]
    async fn the_connection_goes_on_only_behind_the_whole_body() {
        let a = || Ok(b"a".to_vec());
        let none = HeaderMap::new();
        assert!(after_one_chunk(&none, vec![a(), a()], true).await.is_empty());
        let expect = HeaderMap::from_iter([(header::EXPECT, HeaderValue::from_static("100-continue"))]);
        for response in [
            after_one_chunk(&none, vec![a(), Ok(vec![0; MAX_BODY_BYTES + 1])], true).await,
            after_one_chunk(&none, vec![a(), Err(io::Error::other("gone"))], true).await,
            after_one_chunk(&none, vec![a()], false).await,
            after_one_chunk(&expect, vec![a(), a()], true).await,
        ] {
            assert_eq!(response[header::CONNECTION], "close");
        }
        assert!(Unread::lend(&none, Body::empty()).1.is_none());
    }
}
