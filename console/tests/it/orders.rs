//! The pages about orders, without services.

use reqwest::StatusCode;

use crate::harness::{TestConsole, nowhere, text};

#[tokio::test]
async fn with_the_order_service_down_the_pages_say_so() {
    let console = TestConsole::open(&nowhere()).await;
    for path in
        ["/orders", "/orders?sku=SKU-ABC", "/orders?order_id=1", "/orders/1", "/orders/1/live", "/orders/1/cancel"]
    {
        let page = console.page(path).await;
        assert!(page.contains("role=\"alert\"") && page.contains("cannot be reached"), "{path}: {page}");
    }
    // The filter is still there, and so is what finds the order again.
    assert!(console.page("/orders?sku=SKU-ABC").await.contains("value=\"SKU-ABC\""));
    assert!(console.page("/orders/1").await.contains("hx-trigger=\"every 5s\""));
    let page = text(console.post("/orders/1/cancel", ""), StatusCode::BAD_GATEWAY).await;
    assert!(page.contains("cannot be reached"), "{page}");
}

#[tokio::test]
async fn cancelling_from_another_site_is_refused() {
    let console = TestConsole::open(&nowhere()).await;
    let elsewhere = console.foreign_post("/orders/1/cancel", "").header("sec-fetch-site", "cross-site");
    assert!(text(elsewhere, StatusCode::FORBIDDEN).await.contains("came from elsewhere"));
}
