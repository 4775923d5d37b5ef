//! The pages of the console about orders, with the real services behind them.

use reqwest::{Client as Http, Method, RequestBuilder, StatusCode, redirect::Policy};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    client::{Client, answer, ok},
    process::Running,
};

use crate::{program, traces::database};

/// A system, and somebody who looks at its console.
pub(crate) struct Harness {
    pub(crate) system: Running,
    pub(crate) client: Client,
    http: Http,
    directory: TempDir,
}

impl Harness {
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let system = program().start(directory.path(), arguments).unwrap();
        let client = Client::new(system.addresses).unwrap();
        let http = Http::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { system, client, http, directory }
    }

    /// Executes statements in the database of a service.
    pub(crate) async fn execute(&self, service: &str, sql: &str) {
        let database = database(self.directory.path(), service).await;
        database.execute_unprepared(sql).await.unwrap();
        database.close().await.unwrap();
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.system.console.unwrap()))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        text(self.request(Method::GET, path)).await
    }

    /// Returns the page at `path`.
    pub(crate) async fn page(&self, path: &str) -> String {
        let (status, page) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page
    }

    /// Returns the page at `path` once it contains `wanted`.
    pub(crate) async fn page_with(&self, path: &str, wanted: &str) -> String {
        let read = async || anyhow::Ok(self.page(path).await);
        self.client.until(wanted, read, |page: &String| page.contains(wanted)).await.unwrap()
    }

    /// Places an order that takes long, because of `--gateway-latency`, and returns once its stock is held.
    pub(crate) async fn place_slow(&self, body: &Value) -> i64 {
        let request = self.client.order(Method::POST, "/api/v1/orders").header("prefer", "respond-async").json(body);
        let (status, order) = answer(request).await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{order}");
        order["order_id"].as_i64().unwrap()
    }
}

async fn text(request: RequestBuilder) -> (StatusCode, String) {
    let response = request.send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

/// Returns the numbers of the orders in the table, from top to bottom.
pub(crate) fn listed(page: &str) -> Vec<i64> {
    let links = page.split("<td data-label=\"Order\"><a href=\"/orders/").skip(1);
    links.map(|link| link.split('"').next().unwrap().parse().unwrap()).collect()
}

/// Returns the address behind the link with this text.
pub(crate) fn link(page: &str, text: &str) -> String {
    let before = page.split(&format!("\">{text}</a>")).next().unwrap();
    assert!(before.len() < page.len(), "there is no link {text:?} in {page}");
    before.rsplit("href=\"").next().unwrap().replace("&amp;", "&")
}

#[tokio::test]
async fn the_orders_are_listed_newest_first_and_paged_both_ways() {
    let harness = Harness::with(&[]);
    let empty = harness.page("/orders").await;
    assert!(empty.contains("There are no orders yet") && listed(&empty).is_empty(), "{empty}");
    harness.client.put_in_stock("SKU-ABC", 100).await.unwrap();
    for _ in 0..27 {
        harness.client.place("SKU-ABC", 1, 10, None).await.unwrap();
    }
    let newest = harness.page("/orders").await;
    assert_eq!(listed(&newest), (3..=27).rev().collect::<Vec<_>>());
    assert!(!newest.contains(">Newer</a>"), "{newest}");
    let oldest = harness.page(&link(&newest, "Older")).await;
    assert_eq!(listed(&oldest), [2, 1]);
    assert!(!oldest.contains(">Older</a>"), "{oldest}");
    let back = harness.page(&link(&oldest, "Newer")).await;
    assert_eq!(listed(&back), listed(&newest));
    let again = harness.page(&link(&back, "Older")).await;
    assert_eq!(listed(&again), [2, 1]);
    assert!(harness.system.stop().unwrap().success());
}

#[tokio::test]
async fn the_orders_are_filtered() {
    let harness = Harness::with(&[]);
    harness.client.put_in_stock("SKU-ABC", 100).await.unwrap();
    harness.client.put_in_stock("SKU/XYZ & Co", 100).await.unwrap();
    harness.client.place("SKU-ABC", 1, 10, Some("the first key")).await.unwrap();
    harness.client.place("SKU/XYZ & Co", 1, 5_000, None).await.unwrap();
    harness.client.place("SKU-ABC", 999, 10, None).await.unwrap();
    for (query, orders) in [
        ("status=FAILED", vec![3, 2]),
        ("status=CONFIRMED", vec![1]),
        ("status=&sku=&idempotency_key=", vec![3, 2, 1]),
        ("sku=SKU%2FXYZ+%26+Co", vec![2]),
        ("sku=SKU-ABC&status=FAILED", vec![3]),
        ("idempotency_key=the+first+key", vec![1]),
        ("from=2001-01-01T00:00", vec![3, 2, 1]),
        ("until=2001-01-01T00:00", vec![]),
        ("order_id=2", vec![2]),
        ("order_id=99", vec![]),
        ("order_id=x", vec![]),
    ] {
        let page = harness.page(&format!("/orders?{query}")).await;
        assert_eq!(listed(&page), orders, "{query}: {page}");
        assert_eq!(page.contains("No order is one of these"), orders.is_empty(), "{query}");
    }
    let page = harness.page("/orders?status=FAILED&sku=SKU%2FXYZ+%26+Co").await;
    assert!(
        page.contains("<option value=\"FAILED\" selected>") && page.contains("value=\"SKU/XYZ &amp; Co\""),
        "{page}"
    );
    let too_long = format!("sku={}", "A".repeat(65));
    for (query, why) in
        [("status=NONE", "must be PENDING"), ("from=soon", "must be a time"), (&too_long, "at most 64 characters")]
    {
        let (status, page) = harness.get(&format!("/orders?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert!(page.contains("field-error") && page.contains(why), "{query}: {page}");
    }
    assert!(harness.system.stop().unwrap().success());
}

#[tokio::test]
async fn an_order_that_has_ended_is_shown_with_all_its_steps() {
    let harness = Harness::with(&[]);
    harness.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    harness.client.place("SKU-ABC", 2, 200, None).await.unwrap();
    // Once the stock is sold and the payment captured, too, nothing is left to wait for, and the page asks no more.
    harness.page_with("/orders/1", "stock is sold").await;
    let page = harness.page_with("/orders/1", "payment is captured").await;
    for words in [
        "POST /api/v1/orders",
        "OrderCreated",
        "StockReserved",
        "PaymentAuthorized",
        "OrderConfirmed",
        "PaymentCaptured",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert!(page.contains("It is CONFIRMED, after ") && page.contains("payment is authorized"), "{page}");
    assert!(
        !page.contains("hx-trigger") && !page.contains("still to come") && !page.contains("Cancel the order"),
        "{page}"
    );
    assert!(!page.contains("role=\"alert\""), "{page}");

    harness.client.place("SKU-ABC", 3, 5_000, None).await.unwrap();
    let declined = harness.page("/orders/2").await;
    for words in
        ["It is FAILED, payment declined", "payment is declined", "stock is released", "FAILED: payment declined"]
    {
        assert!(declined.contains(words), "{words} in {declined}");
    }
    harness.client.place("SKU-ABC", 999, 10, None).await.unwrap();
    let insufficient = harness.page("/orders/3").await;
    assert!(
        insufficient.contains("StockReservationFailed") && !insufficient.contains("StockReserved"),
        "{insufficient}"
    );

    let repeated = harness.page("/orders/1?request=repeated").await;
    assert!(repeated.contains("the same order is the answer"), "{repeated}");
    let refused = harness.page("/orders/1?request=refused").await;
    assert!(refused.contains("refused (422): the key has other content"), "{refused}");
    assert!(harness.system.stop().unwrap().success());
}

#[tokio::test]
async fn a_running_order_shows_what_is_to_come_and_is_cancelled_in_two_steps() {
    let harness = Harness::with(&["--gateway-latency=1h", "--gateway-timeout=2h", "--drain-timeout=1s"]);
    harness.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let lines = json!([{"item_sku": "SKU-ABC", "quantity": 2}]);
    let id = harness.place_slow(&json!({"items": lines, "amount": 10, "currency": "USD"})).await;
    let path = format!("/orders/{id}");
    let running = harness.page_with(&path, "stock is reserved").await;
    let (before, after) = running.split_once("still to come").unwrap();
    assert!(before.contains("StockReserved") && !before.contains("PaymentAuthorized"), "{before}");
    assert!(after.contains("PaymentAuthorized") && after.contains("OrderConfirmed"), "{after}");
    assert!(running.contains("hx-trigger=\"every 1s\""), "{running}");

    // What the page shows already is not sent again, once the payment has arrived, too.
    let refreshed = || async {
        let page = harness.page(&path).await;
        let live = page.split("hx-get=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
        Ok(harness.get(&live).await)
    };
    let is_nothing = |answer: &(StatusCode, String)| *answer == (StatusCode::NO_CONTENT, String::new());
    harness.client.until("no change of the page", refreshed, is_nothing).await.unwrap();
    let (status, other) = harness.get(&format!("{path}/live?seen=other")).await;
    assert!(status == StatusCode::OK && other.starts_with("<div id=\"order-live\""), "{other}");

    let cancel = format!("{path}/cancel");
    assert!(running.contains(&format!("href=\"{cancel}\"")), "{running}");
    let question = harness.page(&cancel).await;
    assert!(question.contains(&format!("<form method=\"post\" action=\"{cancel}\">")), "{question}");
    let elsewhere = harness.request(Method::POST, &cancel).header("origin", "http://example.com");
    assert_eq!(text(elsewhere).await.0, StatusCode::FORBIDDEN);
    let order = ok(harness.client.order(Method::GET, &format!("/api/v1/orders/{id}"))).await.unwrap();
    assert_eq!(order["status"], "PENDING", "a request from elsewhere changes nothing");
    let here = harness.request(Method::POST, &cancel).header("sec-fetch-site", "same-origin");
    let response = here.send().await.unwrap();
    assert_eq!((response.status(), &response.headers()["location"]), (StatusCode::SEE_OTHER, &path.parse().unwrap()));
    let cancelled = harness.page_with(&path, "It is CANCELLED").await;
    for words in [format!("POST /api/v1/orders/{id}/cancel"), "OrderCancelRequested".into(), "stock is released".into()]
    {
        assert!(cancelled.contains(&words), "{words} in {cancelled}");
    }
    assert!(harness.system.stop().unwrap().success());
}

#[tokio::test]
async fn an_order_that_has_ended_is_not_cancelled() {
    let harness = Harness::with(&[]);
    harness.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    harness.client.place("SKU-ABC", 2, 200, None).await.unwrap();
    harness.client.place("SKU-ABC", 2, 5_000, None).await.unwrap();
    let cancel = |id: i64| {
        let request = harness.request(Method::POST, &format!("/orders/{id}/cancel"));
        text(request.header("sec-fetch-site", "same-origin"))
    };
    let (status, confirmed) = cancel(1).await;
    assert!(status == StatusCode::CONFLICT && confirmed.contains("the order is confirmed"), "{status} {confirmed}");
    let (status, failed) = cancel(2).await;
    assert!(status == StatusCode::OK && failed.contains("nothing changed"), "{status} {failed}");
    let question = harness.page("/orders/1/cancel").await;
    assert!(question.contains("Only an order that is PENDING") && !question.contains("method=\"post\""), "{question}");
    assert_eq!(cancel(99).await.0, StatusCode::NOT_FOUND);
    assert!(harness.system.stop().unwrap().success());
}

#[tokio::test]
async fn an_order_is_refunded_in_two_steps() {
    let harness = Harness::with(&[]);
    harness.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    harness.client.place("SKU-ABC", 2, 200, None).await.unwrap();
    let form = "/orders/1/refund";
    assert!(harness.page("/orders/1").await.contains(&format!("href=\"{form}\"")));
    let question = harness.page(form).await;
    let key = question.split("name=\"key\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let post = |amount: &str| {
        let fields = format!("key={key}&amount={amount}&units-0=1&restock=on&reason=%3Cbroken%3E");
        let request = harness.request(Method::POST, form).header("sec-fetch-site", "same-origin");
        text(request.header("content-type", "application/x-www-form-urlencoded").body(fields))
    };
    for (amount, wrong) in [("many", "must be a number such as"), ("200.01", "can still be refunded")] {
        let (status, page) = post(amount).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{page}");
        assert!(page.contains(wrong) && page.contains(&key), "{page}");
    }
    // A form that is sent twice is one refund.
    for _ in 0..2 {
        assert_eq!(post("50").await.0, StatusCode::SEE_OTHER);
    }
    // The two answers come in either order.
    harness.page_with("/orders/1", "refund has succeeded").await;
    let page = harness.page_with("/orders/1", "goods are back in stock").await;
    for shown in ["SUCCEEDED", "&lt;broken&gt;", "POST /api/v1/orders/1/refunds", "PaymentRefunded", "StockReturned"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let refunds = ok(harness.client.order(Method::GET, "/api/v1/orders/1/refunds")).await.unwrap();
    assert_eq!(refunds.as_array().map(Vec::len), Some(1), "{refunds}");
}

#[tokio::test]
async fn an_unknown_order_is_a_page_that_says_so() {
    let harness = Harness::with(&[]);
    for path in
        ["/orders/99", "/orders/0", "/orders/-1", "/orders/abc", "/orders/99/cancel", "/orders/99999999999999999999"]
    {
        let (status, page) = harness.get(path).await;
        assert!(status == StatusCode::NOT_FOUND && page.contains("There is no order"), "{path}: {status} {page}");
    }
    assert_eq!(harness.get("/orders/99/live").await.0, StatusCode::NOT_FOUND);
    assert!(harness.system.stop().unwrap().success());
}

#[tokio::test]
async fn hostile_content_is_shown_as_text() {
    let harness = Harness::with(&[]);
    let hostile = "<script>alert('x')</script>\"'&";
    harness.client.put_in_stock(hostile, 10).await.unwrap();
    harness.client.place(hostile, 1, 10, Some(hostile)).await.unwrap();
    let query: String = url_encoded(hostile);
    for path in [
        "/orders".to_owned(),
        format!("/orders?sku={query}&idempotency_key={query}"),
        format!("/orders?status={query}&from={query}&order_id={query}"),
        "/orders/1".to_owned(),
        format!("/orders/{query}"),
        format!("/orders/1?request={query}"),
        format!("/orders/1/live?seen={query}&request={query}"),
    ] {
        let (status, page) = harness.get(&path).await;
        assert!(status.as_u16() < 500, "{path}: {status}");
        assert!(!page.contains("<script>alert") && !page.contains("alert('x')</script>"), "{path}: {page}");
    }
    let page = harness.page("/orders/1").await;
    assert!(page.contains("&lt;script&gt;alert('x')&lt;/script&gt;"), "{page}");
    assert!(harness.system.stop().unwrap().success());
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
