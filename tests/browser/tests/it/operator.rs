//! What an operator does when something is wrong: the first page says it, a click leads to it, and one action mends it.

use anyhow::{Result, ensure};
use browser_tests::{Browser, TestSystem};
use testkit::dead_letters;
use uuid::Uuid;

#[tokio::test]
async fn a_dead_letter_is_redriven_from_the_first_page() -> Result<()> {
    let system = TestSystem::start(&[])?;
    system.client.put_in_stock("SKU-ABC", 10).await?;
    system.client.place("SKU-ABC", 1, 20, None).await?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/").await?;
    browser.wait_for_text("Nothing is wrong").await?;
    let id = Uuid::now_v7();
    let body = dead_letters::released(id, 1)?;
    dead_letters::insert(system.data(), "order", id, "the rows could not be saved", body.as_bytes()).await?;
    // Without loading the page again.
    browser.wait_for_text("1 event could not be handled by the order service.").await?;
    browser.assert_rules().await?;

    browser.follow("To the dead letters").await?;
    browser.wait_for_text("the rows could not be saved").await?;
    browser.open("The oldest").await?;
    browser.element("//table//a[@href = '/orders/1']").await?;
    browser.push("Redrive").await?;
    browser.wait_for_text("1 handled, 0 failed again; 1 of 1.").await?;
    let none = "return document.body.innerText.split('No dead letters.').length === 4";
    browser.wait_until("none of three services", none, &[]).await?;

    browser.follow("Now").await?;
    browser.wait_for_text("Nothing is wrong").await?;
    browser.finish().await
}

#[tokio::test]
async fn the_stock_of_an_item_is_set() -> Result<()> {
    let system = TestSystem::start(&[])?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/").await?;
    browser.follow("Stock").await?;
    browser.wait_for_text("There are no items yet.").await?;
    for (typed, shown) in [("12", "12 units are available now."), ("7", "7 units are available now.")] {
        browser.fill("Set the stock of an item", "SKU", "SKU-NEW").await?;
        browser.fill("Set the stock of an item", "Units that are available", typed).await?;
        browser.push("Set").await?;
        browser.wait_for_text(&format!("The stock of SKU-NEW is set. {shown}")).await?;
    }
    let stock = system.client.stock("SKU-NEW").await?;
    ensure!(stock["quantity"] == 7, "{stock}");

    // The browser itself refuses nothing here that the service would take, and the rest is told beside the field.
    browser.fill("Set the stock of an item", "Units that are available", "-1").await?;
    browser.push("Set").await?;
    browser.wait_for_text("must be").await?;
    browser.assert_rules().await?;
    let stock = system.client.stock("SKU-NEW").await?;
    ensure!(stock["quantity"] == 7, "{stock}");
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_stuck_goes_on_once_its_cause_is_mended() -> Result<()> {
    let system = TestSystem::start(&[])?;
    system.client.put_in_stock("SKU-ABC", 10).await?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/try").await?;
    browser.fill("The payment gateway", "Calls that fail, %", "100").await?;
    browser.push("Set").await?;
    browser.wait_for_text("The payment gateway is set.").await?;
    browser.push("An order that is confirmed").await?;
    browser.wait_for_text("It is PENDING and still running.").await?;
    browser.follow("Now").await?;
    // After the ten seconds from which an order counts as stuck.
    browser.wait_for_text("Orders are stuck: the oldest has waited for").await?;

    browser.follow("To the stuck orders").await?;
    browser.wait_for_text("Waits for payment: StockReserved is on its way to it.").await?;
    browser.assert_rules().await?;
    browser.follow("1").await?;
    browser.wait_for_text("It is PENDING and still running.").await?;

    browser.follow("Try it").await?;
    browser.fill("The payment gateway", "Calls that fail, %", "0").await?;
    browser.push("Set").await?;
    browser.wait_for_text("The payment gateway is set.").await?;
    browser.go("/orders/1").await?;
    browser.wait_for_text("It is CONFIRMED, after").await?;
    browser.follow("Stuck").await?;
    browser.wait_for_text("No order is stuck.").await?;
    browser.follow("Now").await?;
    browser.wait_for_text("Nothing is wrong").await?;
    browser.finish().await
}
