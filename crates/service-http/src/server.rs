use std::{error::Error, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{
    Router,
    extract::ConnectInfo,
    serve::{Listener, ListenerExt},
};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Time limit for the head of a connection's next request. It also applies to idle connections, so it is longer than
/// the 90 s after which the usual clients (reqwest, hyper, Go) close a pooled connection. If it were shorter, a request
/// could be sent on a connection that is just being closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(100);

/// Serves HTTP/1.1 until `stop` is cancelled. Then it accepts no more connections, lets the running requests finish,
/// and returns.
///
/// It sets no deadline for them; the caller does. Dropping this future closes all connections at once.
///
/// # Errors
/// Currently none: an error of a connection or of `accept` does not end the server.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    serve_with(HEAD_TIMEOUT, listener, router, stop).await
}

async fn serve_with(
    head_timeout: Duration,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    // Responses are small and written at once, so Nagle's algorithm would only delay them.
    let mut listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection goes on without TCP_NODELAY");
        }
    });
    // Dropping this set aborts the connections' tasks, so they end with this future.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            // axum's `Listener` waits for a moment if the process is out of file descriptors.
            (stream, peer) = listener.accept() => {
                connections.spawn(serve_connection(head_timeout, (stream, peer), router.clone(), stop.clone()));
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Serves the requests of one connection in sequence. Each request carries the client's address.
async fn serve_connection(
    head_timeout: Duration,
    (stream, peer): (TcpStream, SocketAddr),
    router: Router,
    stop: CancellationToken,
) {
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    // `axum::serve` sets no timer, so a client that sends nothing would occupy a connection forever.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = pin!(connection);
    let end = tokio::select! {
        end = connection.as_mut() => end,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = end {
        tracing::debug!(error = &error as &dyn Error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use saga_runtime::trace::Tracing;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::Notify,
        task::JoinHandle,
        time::timeout,
    };
    use utoipa_axum::router::OpenApiRouter;

    use super::*;
    use crate::{ApiJson, HttpMetrics, finish};

    const SOON: Duration = Duration::from_secs(5);

    struct Server {
        address: SocketAddr,
        stop: CancellationToken,
        task: JoinHandle<io::Result<()>>,
        /// Notified when a request for `/wait` has started.
        begun: std::sync::Arc<Notify>,
        /// Lets the request for `/wait` finish.
        go: std::sync::Arc<Notify>,
    }

    async fn server(head_timeout: Duration) -> Server {
        let (begun, go) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
        let wait = {
            let (begun, go) = (begun.clone(), go.clone());
            move || async move {
                begun.notify_one();
                go.notified().await;
                "waited"
            }
        };
        let echo = async |ApiJson(body): ApiJson<serde_json::Value>| body.to_string();
        let routes = OpenApiRouter::new()
            .route("/wait", get(wait))
            .route("/echo", post(echo))
            .merge(crate::health::routes(saga_runtime::Readiness::new([])));
        let router = finish("Test", "", routes, HttpMetrics::default(), Tracing::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve_with(head_timeout, listener, router, stop.clone()));
        Server { address, stop, task, begun, go }
    }

    impl Server {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// Writes `bytes` to a new connection, and reads until the connection ends.
        async fn send(&self, bytes: &[u8]) -> String {
            let mut stream = self.connect().await;
            stream.write_all(bytes).await.unwrap();
            read(&mut stream).await
        }
    }

    async fn read(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection ends").unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn malformed_requests_do_no_harm() {
        let server = server(SOON).await;
        for (bytes, status) in [
            (&b"nonsense\r\n\r\n"[..], "400"),
            (b"\0\0\0\0\r\n\r\n", "400"),
            (b"GET /health HTTP/9.9\r\n\r\n", "400"),
            (b"GET /health HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", "400"),
            (b"POST /echo HTTP/1.1\r\ncontent-length: x\r\n\r\n", "400"),
            (b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n", "400"),
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
        let server = server(SOON).await;
        // More than the socket buffers hold.
        let body = vec![b' '; 7 * 1024 * 1024];
        let mut announced =
            format!("POST /echo HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut chunked = "POST /echo HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
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

    #[tokio::test]
    async fn a_stop_lets_running_requests_finish() {
        let server = server(SOON).await;
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
        let server = server(SOON).await;
        let mut running = server.connect().await;
        running.write_all(b"GET /wait HTTP/1.1\r\n\r\n").await.unwrap();
        server.begun.notified().await;
        server.task.abort();
        assert_eq!(read(&mut running).await, "");
    }

    #[tokio::test]
    async fn a_missing_request_head_times_out() {
        let server = server(Duration::from_millis(100)).await;
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
}
