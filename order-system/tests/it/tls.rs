//! The program with a certificate: the services and the console over HTTPS.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use certificates::Authority;
use reqwest::{
    Method, StatusCode,
    header::{self, HeaderName},
};
use serde_json::{Value, json};
use service_http::{ClientTls, HttpClient, HttpResponse};
use testkit::process::Running;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::program;

const TIMEOUT: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-of-the-tests";

/// A running system with a certificate for `names`, and a client that trusts its authority.
struct Https {
    system: Running,
    http: HttpClient,
    folder: tempfile::TempDir,
}

/// Writes the files of a new certificate, and returns the arguments for them and the file with its authority.
fn certificate(folder: &Path, names: &[&str]) -> ([String; 2], String) {
    let authority = Authority::create("an authority of the tests", 1).unwrap();
    let certificate = authority.issue(names).unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (chain, key) = (write("cert.pem", &certificate.chain), write("key.pem", &certificate.key));
    ([format!("--tls-cert={chain}"), format!("--tls-key={key}")], write("ca.pem", &authority.pem()))
}

fn client(ca: &str) -> HttpClient {
    HttpClient::new(Some(ClientTls::trusting(Some(Path::new(ca))).unwrap()), TIMEOUT)
}

impl Https {
    fn start(names: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (files, ca) = certificate(folder.path(), names);
        let arguments = [&files.each_ref().map(String::as_str), arguments].concat();
        let system = program().start(&folder.path().join("data"), &arguments).unwrap();
        Self { system, http: client(&ca), folder }
    }

    fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    fn port(&self, service: usize) -> u16 {
        self.system.addresses[service].port()
    }

    async fn get(&self, port: u16, path: &str) -> HttpResponse {
        let request = self.http.request(Method::GET, &format!("https://localhost:{port}{path}"));
        request.timeout(TIMEOUT).send().await.unwrap()
    }

    async fn post(&self, service: usize, path: &str, body: &Value) -> (StatusCode, Value) {
        let url = format!("https://localhost:{}{path}", self.port(service));
        let response = self.http.request(Method::POST, &url).json(body).timeout(TIMEOUT).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }
}

#[tokio::test]
async fn orders_are_placed_and_watched_over_https() {
    let https = Https::start(&["localhost"], &[]);
    assert!(!https.system.welcome.contains("http://"), "{}", https.system.welcome);
    let (status, _) = https.post(1, "/api/v1/stock/items", &json!({"item_sku": "SKU-ABC", "quantity": 10})).await;
    assert_eq!(status, 201);
    let order = json!({"item_sku": "SKU-ABC", "quantity": 2, "amount": 200, "currency": "USD"});
    let (status, order) = https.post(0, "/api/v1/orders/", &order).await;
    assert_eq!((status, &order["status"]), (StatusCode::OK, &"CONFIRMED".into()), "{order}");
    let metrics = https.get(https.port(0), "/metrics").await.text().await.unwrap();
    for metric in ["order_system_tls_certificate_expiry_timestamp_seconds", "order_system_tls_failed_handshakes_total"]
    {
        assert!(metrics.lines().any(|line| line.starts_with(metric)), "{metric}: {metrics}");
    }
    // The console reaches the services although the certificate does not have their address.
    let console = https.system.console.unwrap().port();
    let page = https.get(console, "/orders").await.text().await.unwrap();
    assert!(page.contains("CONFIRMED") && !page.contains("role=\"alert\""), "{page}");
    // Whoever forgets the s is told so.
    let plain = reqwest::get(format!("http://localhost:{}/health", https.port(0))).await.unwrap();
    assert_eq!(plain.status(), 400);
    assert!(plain.text().await.unwrap().contains("https://"));
    assert!(https.system.stop().unwrap().success());
}

#[tokio::test]
async fn a_certificate_is_replaced_while_the_program_runs() {
    let https = Https::start(&["localhost"], &[]);
    assert_eq!(https.get(https.port(0), "/health").await.status(), 200);
    let (_, ca) = certificate(https.folder.path(), &["localhost"]);
    let next = client(&ca);
    let url = format!("https://localhost:{}/health", https.port(0));
    let replaced = async {
        while let Err(error) = next.request(Method::GET, &url).send().await {
            assert!(error.is_untrusted(), "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, replaced).await.expect("it is replaced");
    // The connection of before goes on, and so does the console.
    assert_eq!(https.get(https.port(0), "/health").await.status(), 200);
    let request = next.request(Method::GET, &format!("https://localhost:{}/", https.system.console.unwrap().port()));
    let page = request.send().await.unwrap().text().await.unwrap();
    assert!(!page.contains("role=\"alert\""), "{page}");
}

#[tokio::test]
async fn clients_of_the_program_need_its_authority() {
    let https = Https::start(&["localhost"], &["--admin-token", TOKEN]);
    let inventory = format!("https://localhost:{}", https.port(1));
    let list = |more: &[&str]| {
        let mut command = program().command();
        command.args(["dead-letters", "--admin-token", TOKEN]).args(more);
        let output = command.args(["list", "--service=inventory", "--url", &inventory]).output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.success(), text)
    };
    let ca = https.ca();
    let (done, text) = list(&["--ca-file", &ca]);
    assert!(done, "{text}");
    let other = tempfile::tempdir().unwrap();
    let (_, foreign) = certificate(other.path(), &["localhost"]);
    let (done, text) = list(&["--ca-file", &foreign]);
    assert!(!done && text.contains("is not trusted"), "{text}");
    let (done, text) = list(&["--ca-file", "/no/such/file"]);
    assert!(!done && text.contains("/no/such/file") && text.contains("--ca-file"), "{text}");
}

#[tokio::test]
async fn a_console_of_its_own_speaks_https_on_both_sides() {
    let https = Https::start(&["localhost"], &["--no-console"]);
    let ca = https.ca();
    let files = [("cert.pem", "TLS_CERT"), ("key.pem", "TLS_KEY")];
    let files = files.map(|(name, variable)| (variable, https.folder.path().join(name)));
    let variables = files.each_ref().map(|(variable, path)| (*variable, path.as_path()));
    let program = program().with_variables(&variables);
    let mut command = program.command();
    command.args(["console", "--console-listen=127.0.0.1:0", "--admin-token", TOKEN, "--ca-file", &ca]);
    for (service, url) in ["order", "inventory", "payment"].iter().enumerate() {
        command.arg(format!("--{url}-url=https://localhost:{}", https.port(service)));
    }
    let mut console = Command::from(command).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut log = BufReader::new(console.stderr.take().unwrap()).lines();
    let address: SocketAddr = loop {
        let line = log.next_line().await.unwrap().expect("it says where it listens");
        if let Some((_, rest)) = line.split_once("the console listens on https://") {
            let address: String = rest.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
            break address.parse().unwrap();
        }
    };
    let health = program.command().args(["console", "health", "--console-listen", &address.to_string()]).output();
    assert!(health.as_ref().unwrap().status.success(), "{health:?}");
    let url = format!("https://localhost:{}", address.port());
    // The login is sent back over HTTPS only.
    let login = https.http.request(Method::POST, &format!("{url}/login")).body(format!("token={TOKEN}"));
    let login = login.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let login = login.header(HeaderName::from_static("sec-fetch-site"), "same-origin").send().await.unwrap();
    let cookie = login.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; Secure"), "{cookie}");
    let session = cookie.split(';').next().unwrap();
    let request = https.http.request(Method::GET, &format!("{url}/orders"));
    let page = request.header(header::COOKIE, session).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Orders") && !page.contains("role=\"alert\""), "{page}");
    console.kill().await.unwrap();
}

#[test]
fn a_certificate_that_cannot_be_served_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let ([certificate, key], ca) = certificate(folder.path(), &["localhost"]);
    let other = tempfile::tempdir().unwrap();
    let ([_, foreign], _) = self::certificate(other.path(), &["localhost"]);
    let start = |arguments: &[&str]| {
        let data = folder.path().join("data");
        let output = program().with_variables(&[("DATA_DIR", &data)]).command().args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{error}");
        error
    };
    let ca = format!("--tls-cert={ca}");
    for (arguments, expected) in [
        (&[&*certificate][..], &["--tls-key"][..]),
        (&[&*key], &["--tls-cert"]),
        (&[&*certificate, &*foreign], &["key.pem does not belong to the first certificate in", "cert.pem"]),
        (&[&*ca, &*key], &["does not belong", "ca.pem"]),
        (&[&*certificate, "--tls-key=/no/such/file"], &["cannot read the key in /no/such/file", "--tls-key"]),
        (&["--tls-cert=/no/such/file", &*key], &["cannot read the certificate in /no/such/file", "--tls-cert"]),
    ] {
        let error = start(arguments);
        assert!(expected.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
        let error = start(&[&["console", "--console-listen=127.0.0.1:0"], arguments].concat());
        assert!(expected.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
    }
}
