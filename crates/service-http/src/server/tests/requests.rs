//! What clients may send, and what they should not.

use super::*;

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
async fn a_head_that_is_too_large_is_refused() {
    let server = server(ConnectionLimits::default()).await;
    let head = |size: usize| format!("GET /health HTTP/1.1\r\nx: {}\r\nconnection: close\r\n\r\n", "a".repeat(size));
    assert!(server.send(head(BUFFER_BYTES / 2).as_bytes()).await.starts_with("HTTP/1.1 200"));
    assert!(server.send(head(BUFFER_BYTES * 2).as_bytes()).await.starts_with("HTTP/1.1 431"));
}
