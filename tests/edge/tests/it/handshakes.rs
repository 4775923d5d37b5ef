//! TLS handshakes that are begun and not finished.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::{Duration, Instant},
};

use certificates::Authority;
use edge::attack::{Attack, Attackers};
use reqwest::Method;
use serde_json::{Value, json};
use service_http::{ClientTls, HttpClient};

use crate::program;

const LIMIT: Duration = Duration::from_secs(60);
const OPEN_FILES: u32 = 512;
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const ATTACKERS: usize = 1_500;
const ORDERS: usize = 50;
const MADE_ROOM: &str = "order_system_http_connections_closed_total{service=\"order\",reason=\"room\"";

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_handshakes_do_not_silence_the_services() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create("an authority of the tests", 1).unwrap();
    let certificate = authority.issue(&["127.0.0.1"]).unwrap();
    let chain = write(directory.path(), "cert.pem", &certificate.chain);
    let key = write(directory.path(), "key.pem", &certificate.key);
    let ca = write(directory.path(), "ca.pem", &authority.pem());
    let arguments = ["--tls-cert", &chain, "--tls-key", &key];
    let system = program(OPEN_FILES).start(&directory.path().join("data"), &arguments).unwrap();
    let addresses = [system.addresses[0], system.addresses[1], system.addresses[2], system.console.unwrap()];
    let attackers = Attackers::start(Attack::HalfHandshakes, OTHER, &addresses, ATTACKERS, Duration::from_secs(1));
    assert!(attackers.until_opened(ATTACKERS as u64, LIMIT).await, "only {} connections", attackers.opened());

    // A new client for each order, so that each needs a connection and a handshake of its own.
    let tls = ClientTls::trusting(Some(Path::new(&ca))).unwrap();
    let send = async |service: usize, method, path: &str, body: &Value| {
        let client = HttpClient::new(Some(tls.clone()), LIMIT);
        let url = format!("https://{}{path}", addresses[service]);
        let response = client.request(method, &url).json(body).timeout(LIMIT).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let stock = json!({"item_sku": "SKU-0", "quantity": 1_000_000});
    assert_eq!(send(1, Method::POST, "/api/v1/stock/items", &stock).await.0, 201);
    let order = json!({"item_sku": "SKU-0", "quantity": 1, "amount": 10, "currency": "USD"});
    let metric = async |name: &str| {
        let (_, metrics) = send(0, Method::GET, "/metrics", &Value::Null).await;
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64;
        metrics.lines().filter(|line| line.starts_with(name)).map(value).sum::<u64>()
    };
    // At least until connections of attackers make room for others.
    let deadline = Instant::now() + LIMIT;
    let mut orders = 0;
    while orders < ORDERS || metric(MADE_ROOM).await == 0 {
        let (status, order) = send(0, Method::POST, "/api/v1/orders", &order).await;
        // On a busy machine it may take longer than the answer waits for it.
        assert!(matches!(status, 200 | 202) && !order.contains("FAILED"), "{status} {order}");
        orders += 1;
        assert!(Instant::now() < deadline, "no connection has made room");
    }
    for service in 0..addresses.len() {
        assert_eq!(send(service, Method::GET, "/health", &Value::Null).await.0, 200, "{service}");
    }
    assert!(metric("order_system_http_connections{").await < ATTACKERS as u64 / 4);
    assert_eq!(metric("order_system_http_accept_errors_total").await, 0);
    drop(attackers);
    assert!(system.stop().unwrap().success());
}
