//! The operator's pages without services.

use reqwest::StatusCode;

use crate::harness::{TestConsole, nowhere, text};

#[tokio::test]
async fn dead_letters_of_services_that_are_down_are_a_message() {
    let console = TestConsole::open(&nowhere()).await;
    let page = console.page("/dead-letters").await;
    for service in ["order", "inventory", "payment"] {
        assert!(page.contains(&format!("The {service} service cannot be reached")), "{page}");
    }
    assert!(page.contains("Start the service") && !page.contains("No dead letters"), "{page}");
    let letter = "/dead-letters/order/00000000-0000-0000-0000-000000000001";
    for path in [letter.to_owned(), format!("{letter}/discard"), format!("{letter}/download")] {
        let page = text(console.get(&path), StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(page.contains("The order service cannot be reached"), "{page}");
    }
    for path in [format!("{letter}/redrive"), format!("{letter}/discard"), "/dead-letters/order/redrive".to_owned()] {
        let page = text(console.post(&path, ""), StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(page.contains("The order service cannot be reached"), "{page}");
    }
}

#[tokio::test]
async fn dead_letters_come_from_the_address_for_operators() {
    let elsewhere = "http://127.0.0.1:2/".parse().unwrap();
    let addresses = console::Addresses { order_operations_url: Some(elsewhere), ..nowhere() };
    let console = TestConsole::open(&addresses).await;
    let unreachable =
        |service: &str, port: u16| format!("The {service} service cannot be reached at http://127.0.0.1:{port}/");
    let page = console.page("/dead-letters").await;
    assert!(page.contains(&unreachable("order", 2)) && page.contains(&unreachable("payment", 1)), "{page}");
    let page = console.page("/orders").await;
    assert!(page.contains(&unreachable("order", 1)), "{page}");
}

#[tokio::test]
async fn stock_and_payments_of_services_that_are_down_are_a_message() {
    let console = TestConsole::open(&nowhere()).await;
    for (path, service) in [
        ("/stock", "inventory"),
        ("/stock?sku=SKU-ABC", "inventory"),
        ("/stock?order_id=1", "inventory"),
        ("/payments", "payment"),
        ("/payments?order_id=1", "payment"),
    ] {
        let page = console.page(path).await;
        assert!(page.contains(&format!("The {service} service cannot be reached")), "{path}: {page}");
        assert!(page.contains("Start the service") && page.matches("role=\"alert\"").count() == 1, "{path}: {page}");
    }
    let form = "stock_sku=SKU-ABC&stock_quantity=5";
    let page = text(console.post("/stock", form), StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(page.contains("The inventory service cannot be reached"), "{page}");
    assert!(
        page.matches("role=\"alert\"").count() == 1 && page.contains("value=\"5\""),
        "what was typed stays: {page}"
    );
}

#[tokio::test]
async fn stock_is_not_set_from_another_site() {
    let console = TestConsole::open(&nowhere()).await;
    let form = "stock_sku=SKU-ABC&stock_quantity=5";
    for site in ["cross-site", "same-site", "none"] {
        let elsewhere = console.foreign_post("/stock", form).header("sec-fetch-site", site);
        assert!(text(elsewhere, StatusCode::FORBIDDEN).await.contains("came from elsewhere"));
    }
}
