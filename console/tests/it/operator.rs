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
