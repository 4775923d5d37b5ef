//! How long connections last, and which one makes room for another.

use super::*;

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
