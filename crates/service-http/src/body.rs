use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::Problem;

/// Largest request body that a service accepts, in bytes; enough for an order with many lines.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How many bytes of a body that is too large are still read and thrown away. Otherwise, a client that reads the
/// response only after it has sent everything would see a connection reset instead of the 413.
const MAX_DISCARDED_BYTES: usize = 8 * 1024 * 1024;

/// Time limit for receiving a whole body.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the whole body.
///
/// # Errors
/// 413 if it is larger than [`MAX_BODY_BYTES`], 408 if it is too slow, 400 if it ends early.
pub(crate) async fn read(body: Body) -> Result<Bytes, Problem> {
    read_within(TIMEOUT, body).await
}

async fn read_within(timeout: Duration, body: Body) -> Result<Bytes, Problem> {
    // The timer costs nothing if the body has already arrived, which is the usual case: `timeout` polls the body first.
    let body = tokio::time::timeout(timeout, collect(body.into_data_stream())).await;
    body.unwrap_or_else(|_| Err(Problem::request_timeout()))
}

async fn collect(mut chunks: BodyDataStream) -> Result<Bytes, Problem> {
    // A body of one chunk, which is the usual case, is not copied.
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_request("the body could not be read to its end"))?;
        if first.len().max(joined.len()) + chunk.len() > MAX_BODY_BYTES {
            discard_rest(chunks).await;
            return Err(Problem::too_large());
        }
        if first.is_empty() {
            first = chunk;
        } else {
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&chunk);
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

/// Returns the refusal of a body whose `Content-Length` exceeds the limit.
pub(crate) fn announced_too_large(headers: &HeaderMap) -> Option<Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.is_some_and(|length| length > MAX_BODY_BYTES as u64).then(Problem::too_large)
}

/// Reads and throws away the body, within limits of size and time.
pub(crate) async fn discard(headers: &HeaderMap, body: Body) {
    // A client that sends `Expect: 100-continue` must get the response before it sends the body: reading would request
    // the body.
    if !headers.contains_key(header::EXPECT) {
        // If the body is too slow or too large, stop reading it.
        let _ = tokio::time::timeout(TIMEOUT, discard_rest(body.into_data_stream())).await;
    }
}

async fn discard_rest(mut chunks: BodyDataStream) {
    let mut discarded = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        discarded += chunk.len();
        if discarded > MAX_DISCARDED_BYTES {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use futures::stream;

    use super::*;

    /// Returns a body of `count` chunks of 1 KiB, and a counter of the chunks that were read.
    fn chunked(count: usize) -> (Body, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let chunks = stream::iter(0..count).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, io::Error>(Bytes::from(vec![b'x'; 1024]))
        });
        (Body::from_stream(chunks), taken)
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_whole() {
        assert_eq!(read(Body::empty()).await, Ok(Bytes::new()));
        assert_eq!(read(Body::from("ab")).await, Ok(Bytes::from("ab")));
        let pieces = stream::iter(["a", "", "bc", "d"]).map(|piece| Ok::<_, io::Error>(Bytes::from(piece)));
        assert_eq!(read(Body::from_stream(pieces)).await, Ok(Bytes::from("abcd")));
        assert_eq!(read(chunked(64).0).await.map(|body| body.len()), Ok(MAX_BODY_BYTES));
    }

    #[tokio::test]
    async fn a_larger_body_is_discarded_up_to_a_limit() {
        let (body, taken) = chunked(2048);
        assert_eq!(read(body).await, Err(Problem::too_large()));
        assert_eq!(taken.load(Ordering::Relaxed), 2048);
        let (body, taken) = chunked(1_000_000);
        assert_eq!(read(body).await, Err(Problem::too_large()));
        assert!(taken.load(Ordering::Relaxed) < 10_000);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused() {
        let pieces = stream::iter([Ok(Bytes::from("{")), Err(io::Error::other("gone"))]);
        let problem = read(Body::from_stream(pieces)).await.unwrap_err();
        assert_eq!(problem.status(), 400);
    }

    #[tokio::test]
    async fn a_slow_body_times_out() {
        let timeout = Duration::from_millis(50);
        let pieces = stream::once(async { Ok::<_, io::Error>(Bytes::from("{")) }).chain(stream::pending());
        assert_eq!(read_within(timeout, Body::from_stream(pieces)).await, Err(Problem::request_timeout()));
        // A body that arrives in drips times out as well.
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, io::Error>(Bytes::from(" ")), ()))
        });
        assert_eq!(read_within(timeout, Body::from_stream(drip)).await, Err(Problem::request_timeout()));
    }

    #[tokio::test]
    async fn the_body_is_not_read_after_expect_continue() {
        let mut headers = HeaderMap::new();
        let (body, taken) = chunked(100);
        discard(&headers, body).await;
        assert_eq!(taken.load(Ordering::Relaxed), 100);
        headers.insert(header::EXPECT, "100-continue".parse().unwrap());
        let (body, taken) = chunked(100);
        discard(&headers, body).await;
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }
}
