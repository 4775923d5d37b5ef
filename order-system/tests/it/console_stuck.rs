//! The console's page about stuck orders, with the real services behind it.

use console::{Addresses, AdminAccess, Console, ConsoleSettings};
use reqwest::{Client as Http, Method, StatusCode};
use serde_json::json;
use service_http::ConnectionLimits;
use testkit::client::answer;

use crate::console_orders::{Harness, link, listed};

/// Returns a system whose payments take an hour.
fn slow() -> Harness {
    Harness::with(&["--gateway-latency=1h", "--gateway-timeout=2h", "--drain-timeout=1s"])
}

async fn place(harness: &Harness) -> i64 {
    let lines = json!([{"item_sku": "SKU-ABC", "quantity": 2}]);
    harness.place_slow(&json!({"items": lines, "amount": 10, "currency": "USD"})).await
}

/// Returns the page of a console that has these addresses of the services.
async fn page_of_another_console(addresses: &Addresses, path: &str) -> String {
    let settings = ConsoleSettings { console_listen: "127.0.0.1:0".parse().unwrap() };
    let admin = AdminAccess::WithoutLogin(None);
    let listener = Console::listen(&settings, &admin).await.unwrap();
    let console = Console::start(listener, addresses, admin, ConnectionLimits::default(), None).unwrap();
    let http = Http::builder().no_proxy().build().unwrap();
    let response = http.get(format!("http://{}{path}", console.address())).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let page = response.text().await.unwrap();
    console.stop().await;
    page
}

#[tokio::test]
async fn without_an_old_open_order_none_is_stuck() {
    let harness = slow();
    assert!(harness.page("/stuck").await.contains("No order is stuck."));
    harness.client.put_in_stock("SKU-ABC", 100).await.unwrap();
    // One that has ended is not stuck however old it is, and one that is open is not as long as it is young.
    harness.client.place("SKU-NONE", 1, 10, None).await.unwrap();
    let page = harness.page("/stuck?older_than=0").await;
    assert!(page.contains("No order is stuck."), "{page}");
    place(&harness).await;
    let page = harness.page("/stuck?older_than=3600").await;
    assert!(page.contains("No order is stuck.") && page.contains("value=\"3600\""), "{page}");
    for wrong in ["-1", "soon", "1.5"] {
        let (status, page) = harness.get(&format!("/stuck?older_than={wrong}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.contains("older_than-error") && page.contains("aria-invalid=\"true\""), "{page}");
    }
    assert!(harness.system.stop().unwrap().success());
}

#[tokio::test]
async fn an_order_that_waits_for_a_service_says_for_which_and_what_is_wrong_there() {
    let harness = slow();
    harness.client.put_in_stock("SKU-ABC", 100).await.unwrap();
    let id = place(&harness).await;
    let stuck = "/stuck?older_than=0";
    let page = harness.page_with(stuck, "Waits for payment: StockReserved is on its way to it.").await;
    assert_eq!(listed(&page), [id]);
    assert!(page.contains("PENDING") && page.contains("2 × <span class=\"id\">SKU-ABC</span>"), "{page}");
    assert!(page.contains("wrong with payment: see its log") && !page.contains("cannot be reached"), "{page}");

    let url = |index: usize| format!("http://{}", harness.system.addresses[index]).parse().unwrap();
    let nowhere = || "http://127.0.0.1:1".parse().unwrap();
    let down = Addresses::new([url(0), url(1), nowhere()]);
    let page = page_of_another_console(&down, stuck).await;
    assert!(page.contains("Waits for payment: StockReserved") && !page.contains("see its log"), "{page}");
    assert!(page.contains("class=\"problem\"") && page.contains("payment service cannot be reached"), "{page}");

    let down = Addresses::new([nowhere(), url(1), url(2)]);
    let page = page_of_another_console(&down, stuck).await;
    assert!(page.contains("order service cannot be reached") && page.contains("class=\"problem\""), "{page}");
    assert!(harness.system.stop().unwrap().success());
}

#[tokio::test]
async fn stuck_orders_are_paged_oldest_first() {
    let harness = slow();
    harness.client.put_in_stock("SKU-ABC", 1_000).await.unwrap();
    for _ in 0..52 {
        place(&harness).await;
    }
    let oldest = harness.page("/stuck?older_than=0").await;
    assert_eq!(listed(&oldest), (1..=50).collect::<Vec<_>>());
    let newer = harness.page(&link(&oldest, "Newer")).await;
    assert_eq!(listed(&newer), [51, 52]);
    assert!(!newer.contains(">Newer</a>"), "{newer}");
    assert_eq!(listed(&harness.page(&link(&newer, "Oldest")).await), listed(&oldest));
    assert!(harness.system.stop().unwrap().success());
}

/// The rows are changed in the database, because the simulated gateway captures and refunds everything at once.
#[tokio::test]
async fn captures_and_refunds_that_are_overdue_or_failed_are_shown_with_what_to_do() {
    let harness = Harness::with(&[]);
    assert!(harness.page("/stuck").await.contains("No capture and no refund is overdue or failed."));
    harness.client.put_in_stock("SKU-ABC", 100).await.unwrap();
    for _ in 0..3 {
        harness.client.place("SKU-ABC", 1, 10, None).await.unwrap();
    }
    for (id, amount) in [(3, 1), (3, 2)] {
        let path = format!("/api/v1/orders/{id}/refunds");
        let refund = harness.client.order(Method::POST, &path).json(&json!({"amount": amount}));
        assert_eq!(answer(refund).await.unwrap().0, StatusCode::ACCEPTED);
    }
    for id in [1, 2] {
        harness.page_with(&format!("/orders/{id}"), "CAPTURED").await;
    }
    harness.page_with("/orders/3", "<dd>3 USD</dd>").await;

    // The service must not find what is open: it would go on with it.
    let later = "wake_at = 4000000000000000";
    harness
        .execute(
            "order",
            &format!(
                "UPDATE orders SET capture = 'FAILED' WHERE order_id = 1;
                 UPDATE orders SET capture = NULL, changed_at = 1, {later} WHERE order_id = 2;
                 UPDATE refunds SET state = 'FAILED', failure = 'DECLINED' WHERE minor_units = 100;
                 UPDATE refunds SET state = 'REQUESTED', requested_at = 1, {later} WHERE minor_units = 200;"
            ),
        )
        .await;
    let page = harness.page("/stuck").await;
    assert_eq!(listed(&page), [1, 2, 3, 3]);
    for words in [
        "No order is stuck.",
        "Charge the customer in another way.",
        "OrderConfirmed may be a dead letter of payment",
        "1 USD",
        "It can be requested again",
        "2 USD",
        "Its payment is not captured yet, or the gateway does not answer.",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // What is open is shown from this age on; what has failed is shown at once.
    assert_eq!(listed(&harness.page("/stuck?older_than=4000000000").await), [1, 3]);
    assert!(harness.system.stop().unwrap().success());
}
