use axum::{
    body::Bytes,
    routing::{get, post},
};
use futures::stream as streams;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};
use utoipa::openapi::{HttpMethod, path::Operation};
use utoipa_axum::router::OpenApiRouter;

use super::*;
use crate::{ApiJson, Edge, HttpMetrics, document::public, finish};

mod connections;
mod requests;

pub(super) const SOON: Duration = Duration::from_secs(5);
/// The size of a response that does not fit into the buffers of a slow client, in bytes.
const LARGE: usize = 1024 * 1024;

/// Sends data for as long as the client takes it.
async fn endless() -> Body {
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    Body::from_stream(streams::repeat_with(move || Ok::<_, io::Error>(chunk.clone())))
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<io::Result<()>>,
    /// Notified when a request for `/wait` has started.
    pub(super) begun: Arc<Notify>,
    /// Lets the request for `/wait` finish.
    pub(super) go: Arc<Notify>,
    metrics: HttpMetrics,
}

/// Limits with this time for a request's head, and long ones otherwise.
fn heads_within(head_timeout: Duration) -> ConnectionLimits {
    ConnectionLimits { head_timeout, ..ConnectionLimits::default() }
}

pub(super) async fn server(config: impl Into<ListenerConfig>) -> Server {
    let config = config.into();
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let wait = {
        let (begun, go) = (begun.clone(), go.clone());
        move || async move {
            begun.notify_one();
            go.notified().await;
            "waited"
        }
    };
    let echo = async |ApiJson(body): ApiJson<serde_json::Value>| body.to_string();
    let gets = ["/wait", "/endless", "/large"].map(|path| (path, HttpMethod::Get));
    let documents = gets.into_iter().chain([("/echo", HttpMethod::Post)]);
    let documented = documents.map(|(path, method)| public(path, method, Operation::builder()));
    let routes = documented
        .fold(OpenApiRouter::new(), |routes, openapi| routes.merge(OpenApiRouter::with_openapi(openapi)))
        .route("/wait", get(wait))
        .route("/echo", post(echo))
        .route("/endless", get(endless))
        .route("/large", get(async || "x".repeat(LARGE)))
        .merge(crate::health::routes(saga_runtime::Readiness::new([])));
    let metrics = HttpMetrics::default();
    let router = finish("Test", "", routes, Edge { metrics: metrics.clone(), ..Edge::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let task = {
        let (stop, metrics) = (stop.clone(), metrics.clone());
        tokio::spawn(async move { serve(listener, router, config, &metrics, stop).await })
    };
    Server { address, stop, task, begun, go, metrics }
}

impl Server {
    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Writes `bytes` to a new connection, and reads until the connection ends.
    pub(super) async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read(&mut stream).await
    }
}

impl Server {
    /// Returns the sum of the samples whose line begins with this.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let (mut registry, mut text) = (prometheus_client::registry::Registry::default(), String::new());
        self.metrics.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        text.lines().filter(|line| line.starts_with(name)).map(value).sum()
    }

    /// Opens a connection and sends a request on it, whose response is read.
    async fn idle(&self) -> TcpStream {
        let mut stream = self.connect().await;
        healthy(&mut stream).await;
        stream
    }

    /// Begins a request on a new connection, and waits until its handler runs.
    async fn busy(&self) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(b"GET /wait HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
        self.begun.notified().await;
        stream
    }
}

/// Sends a request on an open connection, and reads its response.
async fn healthy(stream: &mut TcpStream) {
    stream.write_all(b"GET /health HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"{\"status\":\"ok\"}") {
        let read = timeout(SOON, stream.read_buf(&mut answer)).await.expect("a response").unwrap();
        assert_ne!(read, 0, "{}", answer.escape_ascii());
    }
}

/// Waits until the server has closed the connection, with or without having read what was sent.
pub(super) async fn closed(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    assert!(read.is_ok() || read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
    assert!(answer.is_empty(), "{}", answer.escape_ascii());
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection ends").unwrap();
    String::from_utf8(answer).unwrap()
}
