use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{PROBLEM_JSON, Problem};

/// How long a refused client may take to read the refusal.
const LINGER: Duration = Duration::from_secs(1);
/// How many bytes of a refused request are read and thrown away.
const MAX_DISCARDED_BYTES: u64 = 64 * 1024;

/// Answers with 503 without reading a request, and closes the connection.
pub(super) async fn refuse(mut stream: TcpStream) {
    let _ = tokio::time::timeout(LINGER, async {
        stream.write_all(response().as_bytes()).await?;
        stream.shutdown().await?;
        // If a request is left unread, closing resets the connection, and the client may lose the response.
        tokio::io::copy(&mut stream.take(MAX_DISCARDED_BYTES), &mut tokio::io::sink()).await
    })
    .await;
}

fn response() -> String {
    let problem = Problem::overloaded("too many connections; nothing was written");
    let body = serde_json::to_string(&problem).unwrap_or_default();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
