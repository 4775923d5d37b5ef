use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// How long a client may take to close its side of the connection.
const LIMIT: Duration = Duration::from_secs(5);
/// How many bytes that it sends in the meantime are read and thrown away.
const MAX_DISCARDED_BYTES: u64 = 1024 * 1024;

/// Closes a connection by a *lingering close* (RFC 9112, 9.6). Closing one with unread bytes resets it, and what is
/// still on its way to the client is lost. So first only the sending side is closed, and what arrives is thrown away
/// until the client closes its own side, within limits.
///
/// If this future is dropped early, only what had not arrived by then can cause a reset.
pub(super) async fn close(stream: impl AsyncRead + AsyncWrite + Unpin) {
    close_within(stream, LIMIT).await;
}

async fn close_within(mut stream: impl AsyncRead + AsyncWrite + Unpin, limit: Duration) {
    let _ = timeout(limit, async {
        // Fails if it is closed already; what arrives counts all the same.
        let _ = stream.shutdown().await;
        discard(&mut stream).await
    })
    .await;
}

async fn discard(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u64> {
    tokio::io::copy(&mut stream.take(MAX_DISCARDED_BYTES), &mut tokio::io::sink()).await
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_arrives_is_read_until_the_client_closes_its_side() {
        let (mut client, server) = duplex(16);
        let closing = tokio::spawn(close_within(server, LONG));
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "the sending side is closed first");
        client.write_all(&[b'x'; 1000]).await.unwrap();
        assert!(!closing.is_finished());
        client.shutdown().await.unwrap();
        closing.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_does_not_close_is_left_after_a_time_or_many_bytes() {
        let (_client, server) = duplex(16);
        close_within(server, Duration::from_millis(1)).await;
        let (mut client, server) = duplex(16);
        let closing = tokio::spawn(close_within(server, LONG));
        while client.write_all(&[b'x'; 1000]).await.is_ok() {}
        closing.await.unwrap();
    }
}
