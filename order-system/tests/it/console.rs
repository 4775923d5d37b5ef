//! The console as part of the program, and as a command of its own.

use reqwest::{Client, StatusCode};

use crate::program;

async fn get(url: &str) -> (StatusCode, String) {
    let response = Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_program_serves_the_console_and_names_it_first() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &[]).unwrap();
    let console = system.console.unwrap();
    let first = system.welcome.lines().find(|line| line.contains("http://")).unwrap();
    assert!(first.trim().starts_with("console") && first.contains(&format!("http://{console}")), "{first}");
    let (status, page) = get(&format!("http://{console}/")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!page.contains("role=\"alert\""), "{page}");
    // The console's own token opens the admin endpoints for nobody else: they are off as without a console.
    for address in system.addresses {
        let (status, body) = get(&format!("http://{address}/admin/dead-letters")).await;
        assert!(status == StatusCode::NOT_FOUND && body.contains("the admin endpoints are off"), "{status} {body}");
    }
    assert!(system.stop().unwrap().success());
}

/// What a service answers at `/`, to a browser and to others.
async fn index(service: std::net::SocketAddr) -> (String, serde_json::Value) {
    let http = Client::builder().no_proxy().build().unwrap();
    let get = async |accept| {
        let response = http.get(format!("http://{service}/")).header("accept", accept).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.unwrap()
    };
    (get("text/html,*/*;q=0.8").await, serde_json::from_str(&get("*/*").await).unwrap())
}

#[tokio::test]
async fn the_root_of_each_service_leads_to_the_console() {
    let directory = tempfile::tempdir().unwrap();
    let console = async |arguments: &[&str]| {
        let system = program().start(directory.path(), arguments).unwrap();
        let mut consoles = Vec::new();
        for service in system.addresses {
            let (page, json) = index(service).await;
            let console = json["console"].as_str().unwrap_or_default().to_owned();
            assert_eq!(page.contains(&format!("href=\"{console}\"")), !console.is_empty(), "{page}");
            assert!(page.contains("href=\"/docs\"") && json["docs"] == "/docs", "{page} {json}");
            consoles.push(console);
        }
        consoles.dedup();
        let [console] = consoles.try_into().unwrap();
        let listens = system.console.map(|console| format!("http://{console}/"));
        assert!(system.stop().unwrap().success());
        (console, listens)
    };
    let (found, listens) = console(&[]).await;
    assert_eq!(Some(found), listens);
    assert_eq!(console(&["--no-console"]).await, (String::new(), None));
    let elsewhere = "https://console.example/";
    assert_eq!(console(&["--no-console", "--console-url", elsewhere]).await.0, elsewhere);
}

#[tokio::test]
async fn the_program_runs_without_a_console() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &["--no-console"]).unwrap();
    assert_eq!(system.console, None);
    assert!(!system.welcome.contains("console"), "{}", system.welcome);
}

#[tokio::test]
async fn with_an_admin_token_the_console_asks_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &["--admin-token=the-operators-token"]).unwrap();
    let (_, page) = get(&format!("http://{}/", system.console.unwrap())).await;
    assert!(page.contains("Admin token") && !page.contains("the-operators-token"), "{page}");
}

#[test]
fn a_console_for_other_machines_needs_a_token() {
    let output = program().command().args(["console", "--console-listen=0.0.0.0:0"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("order-system: ") && error.contains("--admin-token"), "{error}");
}

/// A browser without JavaScript: sends forms as a page of the console would.
pub(crate) struct Browser {
    http: Client,
    base: String,
}

impl Browser {
    pub(crate) fn new(system: &testkit::process::Running) -> Self {
        let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, base: format!("http://{}", system.console.unwrap()) }
    }

    pub(crate) async fn page(&self, path: &str) -> String {
        self.get(path).await.1
    }

    /// Returns the status and the page.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// Sends a form, and returns the status, where it leads to, and the page.
    pub(crate) async fn send(&self, path: &str, form: &str) -> (StatusCode, String, String) {
        let request = self.http.post(format!("{}{path}", self.base)).body(form.to_owned());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.header("sec-fetch-site", "same-origin").send().await.unwrap();
        let location = response.headers().get("location").map_or("", |location| location.to_str().unwrap()).to_owned();
        (response.status(), location, response.text().await.unwrap())
    }

    /// Loads the page until it has this text.
    pub(crate) async fn until(&self, path: &str, text: &str) -> String {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let page = self.page(path).await;
            if page.contains(text) {
                return page;
            }
            assert!(tokio::time::Instant::now() < deadline, "{path} does not show {text}: {page}");
        }
    }
}

#[tokio::test]
async fn orders_are_placed_by_forms_and_their_problems_stand_beside_the_fields() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &[]).unwrap();
    let browser = Browser::new(&system);
    for (index, example) in ["example=confirmed", "example=declined", "example=insufficient"].into_iter().enumerate() {
        let (status, location, page) = browser.send("/try/example", example).await;
        let id = index + 1;
        assert!(
            location == format!("/orders/{id}") || page.contains(&format!("Order {id} is placed")),
            "{status} {page}"
        );
    }
    let client = testkit::client::Client::new(system.addresses).unwrap();
    let orders = client.until(
        "all orders have ended",
        || client.orders(),
        |orders| {
            orders.len() == 3
                && orders.iter().all(|order| !["PENDING", "COMPENSATING"].contains(&order["status"].as_str().unwrap()))
        },
    );
    let orders = orders.await.unwrap();
    assert_eq!(orders[0]["status"], "CONFIRMED");
    assert_eq!(
        (&orders[1]["detail"], &orders[2]["detail"]),
        (&"payment declined".into(), &"insufficient stock".into())
    );

    let (status, _, page) = browser.send("/try/stock", "stock_sku=SKU-NEW&stock_quantity=7").await;
    assert!(status == StatusCode::OK && page.contains("7 units of SKU-NEW"), "{page}");
    assert_eq!(client.stock("SKU-NEW").await.unwrap()["quantity"], 7);
    let form = "sku-1=SKU-NEW&quantity-1=1&sku-2=SKU-ABC&quantity-2=2&amount=19.99&currency=USD&key=k1";
    let (_, new, _) = browser.send("/try", form).await;
    let (_, repeated, _) = browser.send("/try", form).await;
    assert_eq!((new.as_str(), repeated.as_str()), ("/orders/4", "/orders/4?request=repeated"));
    assert!(browser.page(&repeated).await.contains("the same order is the answer, nothing changes"));
    let (status, _, page) = browser.send("/try", &form.replace("19.99", "20")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{page}");
    assert!(page.contains("id=\"key-error\"") && page.contains("href=\"/orders/4?request=refused\""), "{page}");
    assert!(browser.page("/orders/4?request=refused").await.contains("refused (422): the key has other content"));
    let orders = client.orders().await.unwrap();
    assert_eq!(
        (orders.len(), orders[3]["amount"].as_f64(), &orders[3]["items"][1]["item_sku"]),
        (4, Some(19.99), &"SKU-NEW".into())
    );

    for (path, form, field) in [
        ("/try", "sku-1=SKU-NEW&quantity-1=0&amount=1&currency=USD", "quantity-1-error"),
        ("/try", "sku-1=SKU-NEW&quantity-1=x&amount=1&currency=USD", "quantity-1-error"),
        ("/try", "sku-1=SKU-NEW&quantity-1=1&amount=0.001&currency=USD", "amount-error"),
        ("/try", "sku-1=SKU-NEW&quantity-1=1&amount=1&currency=XXZ", "currency-error"),
        ("/try/stock", "stock_sku=SKU-NEW&stock_quantity=-1", "stock_quantity-error"),
        ("/try/many", "many_sku=SKU-NEW&many_count=0&many_declined=10", "many_count-error"),
        ("/try/many", "many_sku=SKU-NEW&many_count=1000000&many_declined=10", "many_count-error"),
    ] {
        let (status, _, page) = browser.send(path, form).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{form}: {page}");
        assert!(page.contains(&format!("id=\"{field}\"")) && page.contains("aria-invalid"), "{form}: {page}");
    }
    let (status, _, page) = browser.send("/try/gateway", "latency=25&failing=12.5").await;
    assert!(status == StatusCode::OK && page.contains("value=\"25\"") && page.contains("value=\"12.5\""), "{page}");
    let (status, _, page) = browser.send("/try/gateway", "latency=25&failing=101").await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && page.contains("id=\"failing-error\""), "{page}");
    let (_, _, page) = browser.send("/try", "sku-1=A&quantity-1=1&amount=1&currency=USD&add-line=1").await;
    assert!(page.contains("id=\"sku-2\""), "{page}");
    assert_eq!(client.orders().await.unwrap().len(), 4);
}

#[tokio::test]
async fn now_shows_rates_durations_and_the_newest_orders() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &[]).unwrap();
    let browser = Browser::new(&system);
    let page = browser.page("/").await;
    assert!(page.contains("Nothing is wrong") && page.contains("There are no orders yet"), "{page}");
    testkit::client::Client::new(system.addresses).unwrap().put_in_stock("SKU-MANY", 1_000_000).await.unwrap();
    let (status, location, _) = browser.send("/try/many", "many_sku=SKU-MANY&many_count=100000&many_declined=50").await;
    assert_eq!((status, location.as_str()), (StatusCode::SEE_OTHER, "/try#many"));
    let (again, ..) = browser.send("/try/many", "many_sku=SKU-MANY&many_count=1&many_declined=0").await;
    assert_eq!(again, StatusCode::CONFLICT);

    let page = browser.until("/", "1 × <span class=\"id\">SKU-MANY").await;
    assert!(page.contains("href=\"/orders/"), "{page}");
    // The flow table, with the rate of each event, and how long sagas take.
    browser.until("/", "Median duration, the last two minutes: now ").await;
    let flows = |page: &str, event: &str| {
        let row = page.split("<tr>").find(|row| row.contains(&format!("<td>{event}</td>"))).unwrap();
        !row.contains("number\">–<") && !row.contains("number\">0<")
    };
    let events = ["OrderCreated", "StockReserved", "PaymentFailed", "StockReleased"];
    let shown = async {
        loop {
            let page = browser.page("/").await;
            if !page.contains("Median duration, the last two minutes: now –")
                && !page.contains("Confirmed, the last two minutes: now 0")
                && events.iter().all(|event| flows(&page, event))
            {
                return;
            }
        }
    };
    tokio::time::timeout(testkit::stack::TIMEOUT, shown).await.expect("Now shows no rates");
    browser.send("/try/many/stop", "").await;
    browser.until("/try/many", "orders are placed").await;
    browser.until("/try/many", "Stopped: ").await;
    system.stop().unwrap();
}
