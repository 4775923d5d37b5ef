//! TLS on a listener.

use std::path::Path;

use axum::http::{Method, StatusCode};
use certificates::Authority;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    tests::{SOON, Server, closed, server},
    *,
};
use crate::{
    ClientTls, HttpClient, HttpError,
    tls::testing::{authority, write},
};

/// A listener with a certificate for localhost, and clients that trust its authority.
struct Tls {
    server: Server,
    authority: Authority,
    client: ClientTls,
    folder: tempfile::TempDir,
}

/// Returns what a client trusts that trusts `authority`.
fn trusting(authority: &Authority, folder: &Path) -> ClientTls {
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    ClientTls::trusting(Some(&file)).unwrap()
}

async fn tls(limits: ConnectionLimits) -> Tls {
    let (authority, folder) = (authority(), tempfile::tempdir().unwrap());
    let files = write(folder.path(), &authority.issue(&["localhost"]).unwrap());
    let config = ListenerConfig { limits, tls: Some(ServerTls::load(files).unwrap()), ..Default::default() };
    let client = trusting(&authority, folder.path());
    Tls { server: server(config).await, authority, client, folder }
}

impl Tls {
    /// Opens a connection, which has not sent a request yet.
    async fn connect(&self) -> TlsStream<TcpStream> {
        self.try_connect().await.unwrap()
    }

    async fn try_connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(self.client.config()).connect(name, self.server.connect().await);
        timeout(SOON, connecting).await.expect("an answer")
    }

    async fn get(&self, tls: &ClientTls) -> Result<StatusCode, HttpError> {
        let url = format!("https://localhost:{}/health", self.server.address.port());
        let client = HttpClient::new(Some(tls.clone()), SOON);
        Ok(client.request(Method::GET, &url).timeout(SOON).send().await?.status())
    }
}

/// Sends a request on an open connection, and reads its response.
async fn healthy(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET /health HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"{\"status\":\"ok\"}") {
        let read = timeout(SOON, stream.read_buf(&mut answer)).await.expect("a response").unwrap();
        assert_ne!(read, 0, "{}", answer.escape_ascii());
    }
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection ends").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn requests_are_served_over_tls() {
    let tls = tls(ConnectionLimits::default()).await;
    let mut stream = tls.connect().await;
    let (_, session) = stream.get_ref();
    assert_eq!(session.alpn_protocol(), None, "the client has asked for none");
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    healthy(&mut stream).await;
    healthy(&mut stream).await;
    assert_eq!(tls.get(&tls.client).await.unwrap(), 200);

    let foreign = trusting(&authority(), tls.folder.path());
    let error = tls.get(&foreign).await.unwrap_err();
    assert!(error.is_untrusted(), "{error}");
    let error = tls.get(&ClientTls::without_roots()).await.unwrap_err();
    assert!(error.is_untrusted() && error.to_string().contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn both_versions_are_served_and_no_other_protocol_than_http_1() {
    let tls = tls(ConnectionLimits::default()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (protocol, agrees) in [("http/1.1", true), ("h2", false)] {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut roots = rustls::RootCertStore::empty();
            let (_, pem) = rustls_pki_types::pem::from_buf(&mut tls.authority.pem().as_bytes()).unwrap().unwrap();
            roots.add(pem.into()).unwrap();
            let config = rustls::ClientConfig::builder_with_provider(provider);
            let config = config.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
            let mut config = config.with_no_client_auth();
            config.alpn_protocols = vec![protocol.into()];
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, tls.server.connect().await);
            let agreed = match timeout(SOON, stream).await.expect("an answer") {
                Ok(mut stream) => {
                    healthy(&mut stream).await;
                    stream.get_ref().1.protocol_version() == Some(version.version)
                }
                Err(_) => false,
            };
            assert_eq!(agreed, agrees, "{protocol} over {version:?}");
        }
    }
}

#[tokio::test]
async fn a_request_without_tls_is_told_so() {
    let tls = tls(ConnectionLimits::default()).await;
    let answer = tls.server.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains("speaks HTTPS"), "{answer}");
    // Neither a handshake nor a request: closed, perhaps with an alert of TLS.
    let mut stream = tls.server.connect().await;
    stream.write_all(b"\0\0\0\0\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection ends").ok();
    assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
    assert_eq!(tls.get(&tls.client).await.unwrap(), 200);
}

#[tokio::test]
async fn a_handshake_has_the_time_of_a_head() {
    let tls = tls(ConnectionLimits { head_timeout: Duration::from_millis(100), ..Default::default() }).await;
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut stream = tls.server.connect().await;
        stream.write_all(beginning).await.unwrap();
        closed(&mut stream).await;
    }
    assert_eq!(tls.server.metric("http_connections_closed_total{reason=\"head\"}"), 3);
    // A head that is sent in part after the handshake has what is left of the same time. That may be over before the
    // handshake is, so this is tried again.
    let half_a_head = async || {
        let mut stream = tls.try_connect().await?;
        stream.write_all(b"GET /health HTT").await?;
        io::Result::Ok(stream)
    };
    let mut stream = loop {
        if let Ok(stream) = half_a_head().await {
            break stream;
        }
    };
    assert!(timeout(SOON, stream.read_u8()).await.expect("the connection ends").is_err());
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_makes_room() {
    let limits = ConnectionLimits {
        connections: 2,
        connections_per_peer: 2,
        settled: Duration::ZERO,
        ..ConnectionLimits::default()
    };
    let tls = tls(limits).await;
    let mut used = tls.connect().await;
    healthy(&mut used).await;
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut half = tls.server.connect().await;
        half.write_all(beginning).await.unwrap();
        let mut newest = tls.connect().await;
        closed(&mut half).await;
        healthy(&mut newest).await;
        healthy(&mut used).await;
    }
    assert_eq!(tls.server.metric("http_connections_refused_total"), 0);
}

#[tokio::test]
async fn a_refusal_is_readable() {
    let limits = ConnectionLimits {
        connections: 1,
        connections_per_peer: 1,
        settled: Duration::from_secs(1000),
        ..ConnectionLimits::default()
    };
    let tls = tls(limits).await;
    let mut first = tls.connect().await;
    healthy(&mut first).await;
    // A refusal may take a second, with its handshake, so this is tried again.
    let refused = async {
        loop {
            let mut answer = Vec::new();
            if let Ok(mut stream) = tls.try_connect().await
                && stream.read_to_end(&mut answer).await.is_ok()
            {
                return String::from_utf8(answer).unwrap();
            }
        }
    };
    let answer = timeout(SOON, refused).await.expect("a refusal");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1\r\n"), "{answer}");
    healthy(&mut first).await;
}

#[tokio::test]
async fn a_stop_ends_handshakes_and_lets_running_requests_finish() {
    let tls = tls(ConnectionLimits::default()).await;
    let mut half = tls.server.connect().await;
    half.write_all(b"\x16\x03\x01").await.unwrap();
    let mut running = tls.connect().await;
    running.write_all(b"GET /wait HTTP/1.1\r\n\r\n").await.unwrap();
    tls.server.begun.notified().await;
    tls.server.stop.cancel();
    closed(&mut half).await;
    tls.server.go.notify_one();
    assert!(read_all(&mut running).await.ends_with("waited"));
    timeout(SOON, tls.server.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_disconnected() {
    let tls = tls(ConnectionLimits { write_timeout: Duration::from_millis(100), ..Default::default() }).await;
    let mut stream = tls.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\n\r\n").await.unwrap();
    timeout(SOON, async {
        while tls.server.metric("http_connections_closed_total{reason=\"write\"}") == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is disconnected");
}

#[tokio::test]
async fn a_client_in_the_process_trusts_what_is_served_whatever_its_name() {
    let [folder, another] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let authority = authority();
    let files = write(folder.path(), &authority.issue(&["elsewhere.example"]).unwrap());
    let served = ServerTls::load(files).unwrap();
    let other = ServerTls::load(write(another.path(), &authority.issue(&["localhost"]).unwrap())).unwrap();
    let config = ListenerConfig { tls: Some(served.clone()), ..ListenerConfig::default() };
    let tls = Tls { server: server(config).await, client: ClientTls::without_roots(), authority, folder };
    assert_eq!(tls.get(&served.client()).await.unwrap(), 200);
    assert!(tls.get(&other.client()).await.unwrap_err().is_untrusted());
    // The check whether a service is alive asks only this machine, and trusts whoever answers.
    crate::probe(tls.server.address, true, "/health").await.unwrap();
    assert!(crate::probe(tls.server.address, false, "/health").await.is_err());
}

#[tokio::test]
async fn a_changed_certificate_is_taken_into_use_and_a_broken_one_is_not() {
    const LONG: Duration = Duration::from_secs(60);
    let tls = tls(ConnectionLimits::default()).await;
    let mut open = tls.connect().await;
    healthy(&mut open).await;
    let (log, _guard) = saga_support::testing::log();
    std::fs::write(tls.folder.path().join("cert.pem"), "broken").unwrap();
    let logged = async {
        while !log.lines().iter().any(|line| line.contains("ERROR") && line.contains("cert.pem has no certificate")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, logged).await.expect("it is logged");
    assert_eq!(tls.get(&tls.client).await.unwrap(), 200);

    let next = authority();
    write(tls.folder.path(), &next.issue(&["localhost"]).unwrap());
    let client = trusting(&next, tls.folder.path());
    let replaced = async {
        while let Err(error) = tls.get(&client).await {
            assert!(error.is_untrusted(), "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, replaced).await.expect("it is replaced");
    // A new client, because the one above resumes its session, for which no certificate is sent.
    let before = trusting(&tls.authority, tls.folder.path());
    assert!(tls.get(&before).await.unwrap_err().is_untrusted());
    healthy(&mut open).await;
}

#[tokio::test]
async fn a_certificate_that_expires_soon_is_reported_and_one_that_does_not_is_not() {
    const LONG: Duration = Duration::from_secs(60);
    let (log, _guard) = saga_support::testing::log();
    let (soon, later) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = |days| Authority::create("an authority", days).unwrap();
    let _expires_later = ServerTls::load(write(later.path(), &authority(15).issue(&["localhost"]).unwrap())).unwrap();
    let _expires_soon = ServerTls::load(write(soon.path(), &authority(13).issue(&["localhost"]).unwrap())).unwrap();
    let warned = || log.lines().into_iter().filter(|line| line.contains("expires soon")).collect::<Vec<_>>();
    let logged = async {
        while warned().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, logged).await.expect("it is logged");
    assert!(warned()[0].contains("WARN") && warned()[0].contains(&*soon.path().to_string_lossy()), "{:?}", warned());
    assert_eq!(warned().len(), 1);
}
