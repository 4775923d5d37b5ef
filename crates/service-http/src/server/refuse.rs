use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::lingering_close;
use crate::{PROBLEM_JSON, Problem, ServerTls, tls::Accepted};

/// How long a refused client may take to receive the refusal.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Answers with 503 without reading a request, and closes the connection.
pub(super) async fn refuse(stream: TcpStream, tls: Option<ServerTls>) {
    let overloaded = Problem::overloaded("too many connections; nothing was written");
    let _ = tokio::time::timeout(TIMEOUT, async {
        match tls {
            None => answer(stream, &overloaded).await,
            Some(tls) => match tls.accept(first_byte(&stream).await?, stream).await? {
                Accepted::Tls(stream) => answer(stream, &overloaded).await,
                Accepted::PlainHttp(stream) => answer(stream, &overloaded).await,
            },
        }
    })
    .await;
}

/// Tells a client that speaks plain HTTP that this is the wrong address, and closes the connection.
pub(super) async fn refuse_plain(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let problem = Problem::bad_request("this address speaks HTTPS: use https://; nothing was written");
    let _ = tokio::time::timeout(TIMEOUT, answer(stream, &problem)).await;
}

/// Waits for the first byte that a client sends, and leaves it there.
///
/// # Errors
/// If the connection ends first.
pub(super) async fn first_byte(stream: &TcpStream) -> io::Result<u8> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0]),
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, problem: &Problem) -> io::Result<()> {
    stream.write_all(response(problem).as_bytes()).await?;
    lingering_close::close(stream).await;
    Ok(())
}

fn response(problem: &Problem) -> String {
    let body = serde_json::to_string(problem).unwrap_or_default();
    let status = problem.status();
    let retry = if status == 503 { "retry-after: 1\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {PROBLEM_JSON}\r\n{retry}connection: close\r\ncontent-length: {}\r\n\r\n\
         {body}",
        body.len()
    )
}
