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

/// How long a connection may take to send the head of its next request. It holds for idle connections too, so it is longer
/// than the 90 s after which the usual clients (reqwest, hyper, Go) give up a pooled connection: were it shorter, a
/// request could meet the connection's end half way.
const HEAD_TIMEOUT: Duration = Duration::from_secs(100);

/// Serves HTTP/1.1 until `stop`: then it takes no more connections, lets the requests that are running end, and returns.
///
/// It sets no deadline for them. The caller does, and dropping this future ends every connection at once.
///
/// # Errors
/// None today: a connection that fails, and an `accept` that fails, end by themselves and not the server.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    serve_with(HEAD_TIMEOUT, listener, router, stop).await
}

async fn serve_with(
    head_timeout: Duration,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    // Answers are small and written whole: holding one back to wait for more would only delay it.
    let mut listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection goes on without TCP_NODELAY");
        }
    });
    // The connections end with this set, and so with the future that owns it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            // axum's `Listener` waits a little where the process is out of file descriptors.
            (stream, peer) = listener.accept() => {
                connections.spawn(converse(head_timeout, (stream, peer), router.clone(), stop.clone()));
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Answers the requests of one connection, one after the other. Each knows where it comes from.
async fn converse(
    head_timeout: Duration,
    (stream, peer): (TcpStream, SocketAddr),
    router: Router,
    stop: CancellationToken,
) {
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    // Not `axum::serve`, which sets no timer, so that whoever sends nothing would hold a connection for ever.
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
        /// Told when a request for `/wait` has begun.
        begun: std::sync::Arc<Notify>,
        /// Lets it end.
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
        let router = finish("Test", "", routes, HttpMetrics::default());
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

        /// Writes `bytes` to a new connection, and reads it to its end.
        async fn say(&self, bytes: &[u8]) -> String {
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
    async fn malformed_requests_harm_nobody() {
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
            let answer = server.say(bytes).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{}: {answer}", bytes.escape_ascii());
        }
        let answer = server.say(b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n").await;
        assert!(answer.ends_with("{\"status\":\"ok\"}"), "{answer}");
    }

    #[tokio::test]
    async fn a_large_body_is_answered_and_not_reset() {
        let server = server(SOON).await;
        // More than the buffers of the two sockets hold.
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
            let answer = server.say(request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"instance\":\"/echo\""), "{answer}");
        }
        // Who asks before sending hears no before sending.
        let asked = "POST /echo HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 70000\r\n\r\n";
        let answer = server.say(asked.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }

    #[tokio::test]
    async fn a_stop_lets_running_requests_end() {
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
    async fn dropping_it_ends_what_does_not_end_by_itself() {
        let server = server(SOON).await;
        let mut running = server.connect().await;
        running.write_all(b"GET /wait HTTP/1.1\r\n\r\n").await.unwrap();
        server.begun.notified().await;
        server.task.abort();
        assert_eq!(read(&mut running).await, "");
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_is_not_waited_for() {
        let server = server(Duration::from_millis(100)).await;
        for beginning in ["", "GET /health HTT", "GET /health HTTP/1.1\r\nhost: a\r\n"] {
            let answer = server.say(beginning.as_bytes()).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
        }
        // A request that takes longer to be answered is not meant.
        let mut running = server.connect().await;
        running.write_all(b"GET /wait HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
        server.begun.notified().await;
        assert!(timeout(Duration::from_millis(300), running.readable()).await.is_err());
        server.go.notify_one();
        assert!(read(&mut running).await.ends_with("waited"));
    }
}
