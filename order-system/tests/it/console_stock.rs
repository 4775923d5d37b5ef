//! The pages of the console about stock and payments, with the real services behind them.

use reqwest::StatusCode;
use testkit::{client::Client, process::Running};

use crate::{console::Browser, program};

const HOSTILE: &str = "<script>alert('x')</script>\"'&";

fn start(directory: &tempfile::TempDir) -> (Running, Browser, Client) {
    let system = program().start(directory.path(), &[]).unwrap();
    let (browser, client) = (Browser::new(&system), Client::new(system.addresses).unwrap());
    (system, browser, client)
}

/// Returns the text of the cells with this label, from top to bottom, without markup.
fn column(page: &str, label: &str) -> Vec<String> {
    let cell = format!("data-label=\"{label}\">");
    let cells = page.split(&cell).skip(1);
    cells.map(|cell| text(cell.split("</td>").next().unwrap())).collect()
}

fn text(html: &str) -> String {
    html.split('<')
        .enumerate()
        .map(|(index, part)| if index == 0 { part } else { part.split_once('>').unwrap().1 })
        .collect()
}

/// Returns the address behind the link to the next or the first page.
fn link(page: &str, relation: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("rel=\"{relation}\" href=\""))?;
    Some(rest.split('"').next().unwrap().replace("&amp;", "&"))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn the_stock_is_listed_paged_and_filtered() {
    let directory = tempfile::tempdir().unwrap();
    let (system, browser, client) = start(&directory);
    let empty = browser.page("/stock").await;
    assert!(empty.contains("There are no items yet") && !empty.contains("role=\"alert\""), "{empty}");

    for number in 1..=27 {
        client.put_in_stock(&format!("SKU-{number:02}"), 10).await.unwrap();
    }
    client.place("SKU-01", 3, 10, None).await.unwrap();
    // The order is confirmed before inventory hears of it.
    browser.until("/stock?sku=SKU-01", "data-label=\"Sold\">3<").await;
    let first = browser.page("/stock").await;
    assert_eq!(column(&first, "SKU"), (1..=25).map(|number| format!("SKU-{number:02}")).collect::<Vec<_>>());
    let row = |label| column(&first, label).swap_remove(0);
    let figures = ["Available", "Reserved", "Sold", "Received"].map(row);
    assert_eq!(figures, ["7", "0", "3", "10"]);
    assert!(first.contains("href=\"/orders?sku=SKU-01\"") && link(&first, "first").is_none(), "{first}");
    let second = browser.page(&link(&first, "next").unwrap()).await;
    assert_eq!(column(&second, "SKU"), ["SKU-26", "SKU-27"]);
    assert!(link(&second, "next").is_none() && link(&second, "first").as_deref() == Some("/stock"), "{second}");
    assert!(browser.page("/stock?after=SKU-27").await.contains("There are no more items here"));

    assert_eq!(column(&browser.page("/stock?sku=SKU-02").await, "SKU"), ["SKU-02"]);
    let none = browser.page("/stock?sku=SKU-99").await;
    assert!(column(&none, "SKU").is_empty() && text(&none).contains("There is no item SKU-99."), "{none}");
    let (status, long) = browser.get(&format!("/stock?sku={}", "A".repeat(65))).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && long.contains("id=\"sku-error\""), "{status} {long}");
    system.stop().unwrap();
}

#[tokio::test]
async fn the_stock_of_an_item_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let (system, browser, client) = start(&directory);
    for sku in ["SKU/XYZ & Co", "items", HOSTILE] {
        let form = format!("stock_sku={}&stock_quantity=+7+", encoded(sku));
        let (status, location, _) = browser.send("/stock", &form).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        let page = browser.page(&location).await;
        assert!(page.contains("is set. 7 units are available now"), "{location}: {page}");
        assert_eq!((column(&page, "Available"), link(&page, "next")), (vec!["7".to_owned()], None));
        assert!(!page.contains("<script>alert"), "{page}");
    }
    assert_eq!(client.stock("items").await.unwrap()["quantity"], 7);
    for (form, field) in [
        ("stock_sku=items&stock_quantity=-1", "stock_quantity-error"),
        ("stock_sku=items&stock_quantity=x", "stock_quantity-error"),
        ("stock_sku=items&stock_quantity=1000000001", "stock_quantity-error"),
        ("stock_sku=items&stock_quantity=", "stock_quantity-error"),
        ("stock_sku=items", "stock_quantity-error"),
        ("stock_sku=&stock_quantity=1", "stock_sku-error"),
    ] {
        let (status, _, page) = browser.send("/stock", form).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{form}: {page}");
        assert!(page.contains(&format!("id=\"{field}\"")) && page.contains("role=\"alert\""), "{form}: {page}");
        assert_eq!(column(&page, "SKU").len(), 3, "the list stays: {page}");
    }
    assert_eq!(client.stock("items").await.unwrap()["quantity"], 7);
    system.stop().unwrap();
}

#[tokio::test]
async fn the_reservation_and_the_payment_of_an_order_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let (system, browser, client) = start(&directory);
    assert!(browser.page("/payments").await.contains("There are no payments yet"));
    client.put_in_stock("SKU-ABC", 100).await.unwrap();
    client.place("SKU-ABC", 2, 10, None).await.unwrap();
    client.place("SKU-ABC", 1, 5_000, None).await.unwrap();
    client.place("SKU-ABC", 999, 10, None).await.unwrap();

    let sold = browser.until("/stock?order_id=1", "SOLD").await;
    assert!(text(&sold).contains("2 × SKU-ABC") && sold.contains("href=\"/orders/1\""), "{sold}");
    browser.until("/stock?order_id=2", "RELEASED").await;
    let rejected = browser.page("/stock?order_id=3").await;
    assert!(rejected.contains("REJECTED") && rejected.contains("INSUFFICIENT_STOCK"), "{rejected}");
    assert!(browser.page("/stock?order_id=99").await.contains("Nothing is reserved for order 99"));

    let payments = browser.until("/payments", "CAPTURED").await;
    assert_eq!(column(&payments, "Order"), ["2", "1"]);
    let statuses = column(&payments, "Status");
    assert!(statuses[0].starts_with("DECLINED ") && statuses[1] == "CAPTURED", "{statuses:?}");
    assert_eq!(column(&payments, "Amount"), ["5000 USD", "10 USD"]);
    assert!(payments.contains("href=\"/orders/2\""), "{payments}");
    let second = browser.page("/payments?order_id=2").await;
    assert_eq!((column(&second, "Order"), link(&second, "next")), (vec!["2".to_owned()], None));
    assert!(browser.page("/payments?order_id=3").await.contains("Order 3 has no payment, or none yet"));
    assert!(browser.page("/payments?after=1").await.contains("There are no more payments here"));

    for path in ["/stock", "/payments"] {
        for typed in ["x", "1.5", "99999999999999999999", &encoded(HOSTILE)] {
            let (status, page) = browser.get(&format!("{path}?order_id={typed}")).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{page}");
            assert!(page.contains("id=\"order_id-error\"") && !page.contains("<script>alert"), "{page}");
        }
    }
    system.stop().unwrap();
}

#[tokio::test]
async fn the_payments_are_paged() {
    let directory = tempfile::tempdir().unwrap();
    let (system, browser, client) = start(&directory);
    client.put_in_stock("SKU-ABC", 100).await.unwrap();
    for _ in 0..27 {
        client.place("SKU-ABC", 1, 10, None).await.unwrap();
    }
    let first = browser.page("/payments").await;
    assert_eq!((column(&first, "Payment").len(), link(&first, "first")), (25, None));
    assert_eq!(column(&first, "Payment")[0], "27", "the newest is the first");
    let second = browser.page(&link(&first, "next").unwrap()).await;
    assert_eq!((column(&second, "Payment"), link(&second, "next")), (vec!["2".to_owned(), "1".to_owned()], None));
    assert_eq!(link(&second, "first").as_deref(), Some("/payments"));
    system.stop().unwrap();
}
