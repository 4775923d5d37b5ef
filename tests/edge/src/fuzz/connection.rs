//! Sends bytes, and reads the responses to them.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::request::{FuzzRequest, Kind};

/// How long the responses to a request may take. The longest wait that a client can ask for is 60 s.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// Its body; empty for an endless stream.
    pub body: Vec<u8>,
    /// Whether the whole body was received.
    pub complete: bool,
}

impl Response {
    /// Returns the value of the first header with this name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether it is an endless stream of events.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.header("content-type").is_some_and(|value| value.starts_with("text/event-stream"))
    }

    /// Returns whether the service closes the connection after it.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.is_stream() || self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection to a service that is kept between requests as long as it is open.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    open: Option<TcpStream>,
}

impl Connection {
    /// Returns a connection that is opened by the first request.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, open: None }
    }

    /// Sends a request, and returns the responses to it.
    ///
    /// # Errors
    /// If there are fewer than its kind requires, they are not HTTP, or they take longer than the time limit.
    pub async fn send(&mut self, request: &FuzzRequest) -> Result<Vec<Response>> {
        let kept = self.open.take().filter(|_| matches!(request.kind, Kind::Whole | Kind::Head));
        if let Some(stream) = kept {
            let responses = self.exchange(stream, request).await?;
            // The service may have closed a connection that was idle, before this request arrived.
            if !responses.is_empty() {
                return Ok(responses);
            }
        }
        let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let responses = self.exchange(stream, request).await?;
        let (expected, closed) = match request.kind {
            Kind::Whole | Kind::Head => (1, false),
            Kind::Pipelined(count) => (count, responses.last().is_some_and(Response::closes)),
            Kind::Cut | Kind::Silent => return Ok(responses),
        };
        ensure!(responses.len() == expected || closed, "{} responses instead of {expected}", responses.len());
        Ok(responses)
    }

    async fn exchange(&mut self, mut stream: TcpStream, request: &FuzzRequest) -> Result<Vec<Response>> {
        let (mut read, mut write) = stream.split();
        let writing = async {
            // The service may answer and close before it has received everything.
            let written = write.write_all(&request.bytes).await.is_ok();
            if request.kind == Kind::Cut {
                let _ = write.shutdown().await;
            }
            written
        };
        let reading = read_responses(&mut read, request.kind);
        let both = timeout(LIMIT, async { tokio::join!(writing, reading) }).await;
        let (written, responses) = both.map_err(|_| anyhow::anyhow!("no response within {LIMIT:?}"))?;
        let responses = responses?;
        let reusable = |last: &Response| !last.closes() && last.complete;
        if written && matches!(request.kind, Kind::Whole | Kind::Head) && responses.last().is_some_and(reusable) {
            self.open = Some(stream);
        }
        Ok(responses)
    }
}

async fn read_responses(stream: &mut (impl tokio::io::AsyncRead + Unpin), kind: Kind) -> Result<Vec<Response>> {
    let expected = match kind {
        Kind::Whole | Kind::Head | Kind::Silent => 1,
        Kind::Pipelined(count) => count,
        Kind::Cut => usize::MAX,
    };
    let (mut buffer, mut responses) = (Vec::new(), Vec::new());
    while responses.len() < expected {
        let Some(head) = read_head(stream, &mut buffer).await? else { break };
        if (100..200).contains(&head.status) {
            continue;
        }
        let mut response = head;
        if response.is_stream() {
            responses.push(response);
            break;
        }
        response.complete = read_body(stream, &mut buffer, &mut response, kind == Kind::Head).await?;
        let over = !response.complete || (response.closes() && expected != usize::MAX);
        responses.push(response);
        if over {
            break;
        }
    }
    Ok(responses)
}

/// Reads the head of a response; `None` if the connection ends before one begins.
async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<Option<Response>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(buffer).with_context(|| format!("not HTTP: {}", buffer.escape_ascii()))? {
            httparse::Status::Complete(length) => {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                let headers = parsed.headers.iter().map(|one| (one.name.to_lowercase(), text(one.value))).collect();
                let status = parsed.code.context("a response has a status")?;
                buffer.drain(..length);
                return Ok(Some(Response { status, headers, body: Vec::new(), complete: false }));
            }
            httparse::Status::Partial => {
                if !more(stream, buffer).await {
                    ensure!(buffer.is_empty(), "the head of a response breaks off: {}", buffer.escape_ascii());
                    return Ok(None);
                }
            }
        }
    }
}

/// Reads the body of a response, and returns whether it is complete.
async fn read_body(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    response: &mut Response,
    of_head: bool,
) -> Result<bool> {
    if of_head || matches!(response.status, 204 | 304) {
        return Ok(true);
    }
    if response.header("transfer-encoding").is_some() {
        return read_chunks(stream, buffer, &mut response.body).await;
    }
    let Some(length) = response.header("content-length") else {
        while more(stream, buffer).await {}
        response.body = std::mem::take(buffer);
        return Ok(true);
    };
    let length: usize = length.parse().context("a length is a number")?;
    let complete = fill(stream, buffer, length).await;
    response.body = buffer.drain(..length.min(buffer.len())).collect();
    Ok(complete)
}

async fn read_chunks(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    body: &mut Vec<u8>,
) -> Result<bool> {
    loop {
        match httparse::parse_chunk_size(buffer) {
            Ok(httparse::Status::Complete((start, size))) => {
                let size = usize::try_from(size)?;
                // The chunk, and the end of its line.
                if !fill(stream, buffer, start + size + 2).await {
                    return Ok(false);
                }
                body.extend(&buffer[start..start + size]);
                buffer.drain(..start + size + 2);
                if size == 0 {
                    return Ok(true);
                }
            }
            Ok(httparse::Status::Partial) if more(stream, buffer).await => {}
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => bail!("not a chunk: {}", buffer[..buffer.len().min(100)].escape_ascii()),
        }
    }
}

/// Reads until the buffer has `length` bytes. Returns whether it has.
async fn fill(stream: &mut (impl tokio::io::AsyncRead + Unpin), buffer: &mut Vec<u8>, length: usize) -> bool {
    while buffer.len() < length {
        if !more(stream, buffer).await {
            return false;
        }
    }
    true
}

/// Reads more. Returns whether there was more; a connection that is reset has ended, too.
async fn more(stream: &mut (impl tokio::io::AsyncRead + Unpin), buffer: &mut Vec<u8>) -> bool {
    let read: io::Result<usize> = stream.read_buf(buffer).await;
    read.is_ok_and(|length| length > 0)
}
