use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::Problem;

/// The largest body that a service takes, in bytes: room for an order of many lines, and no more.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How much of a body that is too large is still read, to be thrown away. A client that only writes until it is done
/// would otherwise see its connection reset, and not the 413.
const MAX_DISCARDED_BYTES: usize = 8 * 1024 * 1024;

/// How long a whole body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The whole body.
///
/// # Errors
/// 413 where it is over [`MAX_BODY_BYTES`], 408 where it is slow, 400 where it breaks off.
pub(crate) async fn read(body: Body) -> Result<Bytes, Problem> {
    read_within(TIMEOUT, body).await
}

async fn read_within(timeout: Duration, body: Body) -> Result<Bytes, Problem> {
    // The timer costs nothing where the body is here already, which is the rule: `timeout` polls the body first.
    let body = tokio::time::timeout(timeout, collect(body.into_data_stream())).await;
    body.unwrap_or_else(|_| Err(Problem::request_timeout()))
}

async fn collect(mut chunks: BodyDataStream) -> Result<Bytes, Problem> {
    // A body of one chunk, which is the rule, is not copied.
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

/// Whether the headers alone say that the body is too large.
pub(crate) fn is_announced_too_large(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.is_some_and(|length| length > MAX_BODY_BYTES as u64)
}

/// Lets the body pass by, within limits of size and time.
pub(crate) async fn discard(headers: &HeaderMap, body: Body) {
    // Who asks before sending (`Expect: 100-continue`) is answered before sending: reading would ask for the body.
    if !headers.contains_key(header::EXPECT) {
        // Too slow or too much: either way it has been waited for long enough.
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

    /// A body of `count` chunks of 1 KiB, and how many of them were taken.
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
    async fn a_larger_one_is_let_pass_by_up_to_a_point() {
        let (body, taken) = chunked(2048);
        assert_eq!(read(body).await, Err(Problem::too_large()));
        assert_eq!(taken.load(Ordering::Relaxed), 2048);
        let (body, taken) = chunked(1_000_000);
        assert_eq!(read(body).await, Err(Problem::too_large()));
        assert!(taken.load(Ordering::Relaxed) < 10_000);
    }

    #[tokio::test]
    async fn a_broken_one_is_refused() {
        let pieces = stream::iter([Ok(Bytes::from("{")), Err(io::Error::other("gone"))]);
        let problem = read(Body::from_stream(pieces)).await.unwrap_err();
        assert_eq!(problem.status(), 400);
    }

    #[tokio::test]
    async fn a_slow_one_is_not_waited_for_for_ever() {
        let timeout = Duration::from_millis(50);
        let pieces = stream::once(async { Ok::<_, io::Error>(Bytes::from("{")) }).chain(stream::pending());
        assert_eq!(read_within(timeout, Body::from_stream(pieces)).await, Err(Problem::request_timeout()));
        // And one that drips is as slow as one that stops.
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, io::Error>(Bytes::from(" ")), ()))
        });
        assert_eq!(read_within(timeout, Body::from_stream(drip)).await, Err(Problem::request_timeout()));
    }

    #[tokio::test]
    async fn who_asks_first_is_not_asked_for_the_body() {
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
