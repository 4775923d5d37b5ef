//! Requests with conditions: what a client has seen.

use futures::future::join_all;
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use service_host::service::stop;
use testkit::service::{
    Answer,
    DatabaseKind::{self, Postgres, Sqlite},
    HttpClient, TIMEOUT, answer,
};

use crate::harness::Harness;

/// Sets the stock of an item with these headers.
async fn set(http: &HttpClient, sku: &str, quantity: i64, headers: &[(&str, &str)]) -> Answer {
    let mut request = http.request(Method::POST, "/api/v1/stock/items");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request.json(&json!({"item_sku": sku, "quantity": quantity}))).await
}

async fn get(http: &HttpClient, sku: &str, known: &str) -> Answer {
    answer(http.request(Method::GET, &format!("/api/v1/stock/{sku}")).header("if-none-match", known)).await
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap_or_else(|| panic!("no ETag: {answer:?}")).to_owned()
}

fn assert_not_as_required(answer: &Answer) {
    answer.assert_problem(412, "the item is not as If-Match or If-None-Match requires; nothing was written");
    assert_eq!(answer.body["type"], "/problems/precondition-failed");
}

#[rstest]
#[tokio::test]
async fn an_item_is_changed_only_as_it_was_read(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    let http = &inventory.service.http;
    assert_not_as_required(&set(http, "A", 5, &[("if-match", "*")]).await);
    http.get("/api/v1/stock/A").await.assert_problem(404, "item not found");
    let created = set(http, "A", 5, &[("if-none-match", "*")]).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_not_as_required(&set(http, "A", 6, &[("if-none-match", "*")]).await);
    let read = http.get("/api/v1/stock/A").await;
    assert_eq!((tag(&read), &read.body), (tag(&created), &created.body));
    // Whatever changes the item, what was read before is of no use any more.
    inventory.reserve("A", 1).await;
    assert_not_as_required(&set(http, "A", 6, &[("if-match", &tag(&read))]).await);
    assert_eq!(inventory.units("A").await, (4, 1, 0));
    let read = http.get("/api/v1/stock/A").await;
    let changed = set(http, "A", 6, &[("if-match", &format!("\"other\", {}", tag(&read)))]).await;
    assert_eq!((changed.status, inventory.units("A").await), (201, (6, 1, 0)), "{changed:?}");
    assert_not_as_required(&set(http, "A", 7, &[("if-match", &tag(&read))]).await);
    assert_not_as_required(&set(http, "A", 7, &[("if-match", &format!("W/{}", tag(&changed)))]).await);
    assert_not_as_required(&set(http, "A", 7, &[("if-none-match", &tag(&changed))]).await);
    // A condition that cannot be read is not ignored.
    for name in ["if-match", "if-none-match"] {
        let refused = set(http, "A", 7, &[(name, "x")]).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert!(refused.body["errors"][0]["field"].as_str().unwrap().eq_ignore_ascii_case(name));
    }
    assert_eq!(inventory.units("A").await, (6, 1, 0));
    // A client that knows nothing of this goes on as before.
    assert_eq!((set(http, "A", 7, &[]).await.status, inventory.units("A").await), (201, (7, 1, 0)));
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn who_has_the_current_item_gets_no_body(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    let http = &inventory.service.http;
    for sku in ["A", "items", "reserve", "release"] {
        inventory.stock(sku, 3).await;
        let read = http.get(&format!("/api/v1/stock/{sku}")).await;
        for known in ["*", &tag(&read), &format!("W/{}", tag(&read))] {
            let again = get(http, sku, known).await;
            assert_eq!((again.status, &*again.text, tag(&again)), (304, "", tag(&read)), "{sku} {known}");
        }
        inventory.reserve(sku, 1).await;
        let changed = get(http, sku, &tag(&read)).await;
        assert_eq!((changed.status, &changed.body["quantity"]), (200, &json!(2)), "{changed:?}");
        assert_ne!(tag(&changed), tag(&read));
    }
    assert_eq!(get(http, "B", "*").await.status, 404);
    inventory.finish().await;
}

/// Adds one unit to what is available, again until nobody was faster.
async fn add_one(http: &HttpClient) {
    loop {
        let read = http.get("/api/v1/stock/A").await;
        let quantity = read.body["quantity"].as_i64().unwrap() + 1;
        let answer = set(http, "A", quantity, &[("if-match", &tag(&read))]).await;
        match answer.status {
            201 => return,
            412 => {}
            _ => panic!("{answer:?}"),
        }
    }
}

#[tokio::test]
async fn no_change_is_lost_at_two_replicas() {
    let inventory = Harness::start(Postgres).await;
    let (second, address) = inventory.service.start_on(inventory.service.another_writer().await).await;
    inventory.stock("A", 0).await;
    let clients = [inventory.service.http.clone(), HttpClient::new(address)];
    join_all((0..20).map(|number: usize| add_one(&clients[number % 2]))).await;
    assert_eq!(inventory.units("A").await, (20, 0, 0));
    let created = join_all((0..20).map(|number: usize| set(&clients[number % 2], "B", 1, &[("if-none-match", "*")])));
    let statuses: Vec<u16> = created.await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 412].contains(status)), "{statuses:?}");
    stop(vec![second], TIMEOUT).await;
    inventory.finish().await;
}

#[tokio::test]
async fn the_page_of_the_problem_explains_it() {
    let inventory = Harness::start(Sqlite).await;
    let page = inventory.get("/problems/precondition-failed").await;
    assert!(page.status == 200 && page.text.contains("If-Match"), "{page:?}");
    assert_eq!(page.body, Value::String(page.text.clone()));
    inventory.finish().await;
}
