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

/// The body of a refused request is not taken for the next request, and the next request is not lost.
#[tokio::test]
async fn a_connection_goes_on_behind_the_body_of_a_refused_request() {
    let server = server(ConnectionLimits::default()).await;
    let next = "GET /health HTTP/1.1\r\nconnection: close\r\n\r\n";
    for (refused, status) in [
        ("POST /nowhere HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "404"),
        ("POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "415"),
        ("PUT /echo HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", "405"),
        (&format!("PUT /echo HTTP/1.1\r\ncontent-length: 60000\r\n\r\n{}", " ".repeat(60_000)), "405"),
    ] {
        let responses = server.send(format!("{refused}{next}").as_bytes()).await;
        assert!(responses.starts_with(&format!("HTTP/1.1 {status}")), "{responses}");
        assert!(responses.ends_with("{\"status\":\"ok\"}"), "{refused:.100}: {responses}");
    }
}

#[tokio::test]
async fn malformed_requests_do_no_harm() {
    let server = server(ConnectionLimits::default()).await;
    for (bytes, status) in [
        (&b"nonsense\r\n\r\n"[..], "400"),
        (b"\0\0\0\0\r\n\r\n", "400"),
        (b"GET /health HTTP/9.9\r\n\r\n", "400"),
        (b"GET /health HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", "400"),
        (b"POST /echo HTTP/1.1\r\ncontent-length: x\r\n\r\n", "400"),
        (b"POST /echo HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n", "400"),
        (b"CONNECT a:1 HTTP/1.1\r\nconnection: close\r\n\r\n", "404"),
        (b"OPTIONS * HTTP/1.1\r\nconnection: close\r\n\r\n", "404"),
        (b"GET http://a/health/ HTTP/1.1\r\nconnection: close\r\n\r\n", "200"),
    ] {
        let answer = server.send(bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{}: {answer}", bytes.escape_ascii());
    }
    let answer = server.send(b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("{\"status\":\"ok\"}"), "{answer}");
}

#[tokio::test]
async fn a_large_body_is_answered_and_not_reset() {
    let server = server(ConnectionLimits::default()).await;
    // More than the socket buffers hold.
    let body = vec![b' '; 7 * 1024 * 1024];
    let head = "POST /echo HTTP/1.1\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let mut announced = format!("{head}content-length: {}\r\n\r\n", body.len());
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    announced += std::str::from_utf8(&body).unwrap();
    for chunk in body.chunks(64 * 1024) {
        chunked += &format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap());
    }
    chunked += "0\r\n\r\n";
    for request in [announced, chunked] {
        let answer = server.send(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"instance\":\"/echo\""), "{answer}");
    }
    // A client that sends `Expect: 100-continue` is refused before it sends the body.
    let asked = "POST /echo HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 70000\r\n\r\n";
    let answer = server.send(asked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// RFC 9112, 9.6: what follows the last request of a connection does not reset it while its response is on its way.
#[tokio::test]
async fn what_follows_the_last_request_costs_no_response() {
    let server = server(ConnectionLimits::default()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let last = b"GET /large HTTP/1.1\r\nconnection: close\r\n\r\n";
    let next = format!("POST /echo HTTP/1.1\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000));
    stream.write_all(&[last, next.as_bytes()].concat()).await.unwrap();
    let answer = read(&mut stream).await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.len(), LARGE);
}

#[tokio::test]
async fn a_stop_lets_running_requests_finish() {
    let server = server(ConnectionLimits::default()).await;
    let mut silent = server.connect().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\n\r\n").await.unwrap();
    idle.readable().await.unwrap();
    let mut running = server.connect().await;
    running.write_all(b"GET /wait HTTP/1.1\r\n\r\n").await.unwrap();
    server.begun.notified().await;

    server.stop.cancel();
    assert_eq!(read(&mut silent).await, "");
    assert!(read(&mut idle).await.ends_with("{\"status\":\"ok\"}"));
    timeout(SOON, async { while TcpStream::connect(server.address).await.is_ok() {} }).await.unwrap();
    assert!(!server.task.is_finished());
    server.go.notify_one();
    assert!(read(&mut running).await.ends_with("waited"));
    timeout(SOON, server.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_server_closes_all_connections() {
    let server = server(ConnectionLimits::default()).await;
    let mut running = server.connect().await;
    running.write_all(b"GET /wait HTTP/1.1\r\n\r\n").await.unwrap();
    server.begun.notified().await;
    server.task.abort();
    assert_eq!(read(&mut running).await, "");
}

#[tokio::test]
async fn a_missing_request_head_times_out() {
    let server = server(heads_within(Duration::from_millis(100))).await;
    for beginning in ["", "GET /health HTT", "GET /health HTTP/1.1\r\nhost: a\r\n"] {
        let answer = server.send(beginning.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    // The time limit does not apply to the time that a response takes.
    let mut running = server.connect().await;
    running.write_all(b"GET /wait HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
    server.begun.notified().await;
    assert!(timeout(Duration::from_millis(300), running.readable()).await.is_err());
    server.go.notify_one();
    assert!(read(&mut running).await.ends_with("waited"));
}

#[tokio::test]
async fn a_connection_that_waits_makes_room_for_a_new_one() {
    let limits = ConnectionLimits {
        connections: 3,
        connections_per_peer: 3,
        settled: Duration::ZERO,
        ..ConnectionLimits::default()
    };
    let server = server(limits).await;
    let (mut used, mut running) = (server.idle().await, server.busy().await);
    let mut half_sent = server.connect().await;
    half_sent.write_all(b"GET /health HTT").await.unwrap();
    // The half-sent head goes first, although the used connection has waited longer: it has sent nothing.
    let mut newest = server.idle().await;
    closed(&mut half_sent).await;
    healthy(&mut used).await;
    // Then the one that has sent the fewest requests, and never the one whose request is being handled.
    let mut last = server.idle().await;
    closed(&mut newest).await;
    healthy(&mut used).await;
    assert_eq!(server.metric("http_connections_closed_total{reason=\"room\"}"), 2);
    assert_eq!(server.metric("http_connections_refused_total"), 0);
    server.go.notify_one();
    assert!(read(&mut running).await.ends_with("waited"));
    drop(running);
    healthy(&mut used).await;
    healthy(&mut last).await;
    timeout(SOON, async {
        while server.metric("http_connections ") != 2 {
            tokio::task::yield_now().await
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_connection_whose_request_may_be_on_its_way_makes_no_room() {
    let limits = ConnectionLimits {
        connections: 1,
        connections_per_peer: 1,
        settled: Duration::from_secs(1000),
        ..ConnectionLimits::default()
    };
    let server = server(limits).await;
    let mut first = server.idle().await;
    let answer = server.send(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    healthy(&mut first).await;
}

#[tokio::test]
async fn without_a_waiting_connection_a_new_one_is_refused() {
    for (per_peer, limit) in [(2, "peer"), (3, "listener")] {
        let limits = ConnectionLimits { connections: 2, connections_per_peer: per_peer, ..ConnectionLimits::default() };
        let server = server(limits).await;
        let mut running = [server.busy().await, server.busy().await];
        for _ in 0..3 {
            let answer = server.send(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1\r\n"), "{answer}");
            let problem: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
            assert_eq!((&problem["type"], &problem["status"]), (&"/problems/overloaded".into(), &503.into()));
        }
        assert_eq!(server.metric(&format!("http_connections_refused_total{{limit=\"{limit}\"}}")), 3);
        for stream in &mut running {
            server.go.notify_one();
            assert!(read(stream).await.ends_with("waited"));
        }
        // There is room again once the connections have ended.
        let answered = async || server.send(b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n").await;
        timeout(SOON, async { while !answered().await.starts_with("HTTP/1.1 200") {} }).await.unwrap();
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_later_than_one_whose_head_is_late() {
    let limits = ConnectionLimits {
        head_timeout: Duration::from_millis(1),
        idle_timeout: Duration::from_secs(1000),
        ..ConnectionLimits::default()
    };
    let server = server(limits).await;
    // Each check may find these before they have sent their request, so they try again.
    let mut idle = timeout(SOON, async {
        loop {
            let mut stream = server.connect().await;
            stream.write_all(b"GET /health HTTP/1.1\r\n\r\n").await.unwrap();
            let mut answer = [0; 512];
            if stream.read(&mut answer).await.is_ok_and(|read| read > 0) {
                return stream;
            }
        }
    })
    .await
    .unwrap();
    // Several checks later it is still open.
    for _ in 0..3 {
        assert_eq!(server.send(b"GET /heal").await, "");
    }
    assert_eq!(server.metric("http_connections_closed_total{reason=\"idle\"}"), 0);
    assert_eq!(server.metric("http_connections "), 1);
    // From the first byte of its next request on, it has the time of a head.
    idle.write_all(b"G").await.unwrap();
    closed(&mut idle).await;

    let limits = ConnectionLimits { idle_timeout: Duration::from_millis(1), ..ConnectionLimits::default() };
    let server = self::server(limits).await;
    assert_eq!(read(&mut server.idle().await).await, "");
    assert_eq!(server.metric("http_connections_closed_total{reason=\"idle\"}"), 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_disconnected() {
    let limits = ConnectionLimits { write_timeout: Duration::from_millis(100), ..ConnectionLimits::default() };
    let server = server(limits).await;
    let mut reader = server.connect().await;
    reader.write_all(b"GET /endless HTTP/1.1\r\n\r\n").await.unwrap();
    let mut taker = server.connect().await;
    taker.write_all(b"GET /endless HTTP/1.1\r\n\r\n").await.unwrap();
    let mut chunk = vec![0; 64 * 1024];
    timeout(SOON, async {
        while server.metric("http_connections_closed_total{reason=\"write\"}") == 0 {
            assert_ne!(taker.read(&mut chunk).await.unwrap(), 0);
        }
    })
    .await
    .expect("it is disconnected");
    assert_eq!(server.metric("http_connections "), 1);
    // The other one is served on.
    assert_ne!(taker.read(&mut chunk).await.unwrap(), 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = server(ConnectionLimits::default()).await;
    let head = |size: usize| format!("GET /health HTTP/1.1\r\nx: {}\r\nconnection: close\r\n\r\n", "a".repeat(size));
    assert!(server.send(head(BUFFER_BYTES / 2).as_bytes()).await.starts_with("HTTP/1.1 200"));
    assert!(server.send(head(BUFFER_BYTES * 2).as_bytes()).await.starts_with("HTTP/1.1 431"));
}
