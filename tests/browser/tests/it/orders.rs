//! Placing an order and watching it.

use anyhow::{Context as _, Result, ensure};
use browser_tests::{Browser, TestSystem, keys};
use serde_json::Value;

/// Sets which share of the calls of the simulated gateway fails.
async fn set_failing(browser: &Browser, percent: &str) -> Result<()> {
    browser.go("/try").await?;
    browser.fill("The payment gateway", "Calls that fail, %", percent).await?;
    browser.push("Set").await?;
    browser.wait_for_text("The payment gateway is set.").await
}

#[tokio::test]
async fn one_sees_an_order_being_confirmed_without_loading_the_page_again() -> Result<()> {
    let system = TestSystem::start(&[])?;
    system.client.put_in_stock("SKU-1", 10).await?;
    let browser = Browser::start(system.console()?).await?;
    // So that the order is certainly still running when its page is loaded.
    set_failing(&browser, "100").await?;
    for (label, text) in [("SKU", "SKU-1"), ("Quantity", "3"), ("Amount", "19.99"), ("Currency", "EUR")] {
        browser.fill("Place an order", label, text).await?;
    }
    browser.push("Place the order").await?;
    browser.wait_for_text("It is PENDING and still running.").await?;
    ensure!(browser.path().await? == "/orders/1", "it leads to {}", browser.path().await?);
    browser.mark().await?;

    // As from another window: this one stays as it is.
    let repair = "const body = new URLSearchParams({latency: '0', failing: '0'}); \
                  return fetch('/try/gateway', {method: 'POST', body}).then((answer) => answer.status)";
    let status = browser.session.script(repair, &[]).await?;
    ensure!(status == 200, "the gateway is not repaired: {status}");
    browser.wait_for_text("It is CONFIRMED, after").await?;
    browser.wait_for_text("19.99 EUR").await?;
    browser.assert_same_page().await?;
    let stock = system.client.stock("SKU-1").await?;
    ensure!(stock["quantity"] == 7, "{stock}");
    browser.finish().await
}

#[tokio::test]
async fn a_declined_payment_is_drawn_and_its_stock_is_back() -> Result<()> {
    let system = TestSystem::start(&[])?;
    system.client.put_in_stock("SKU-ABC", 10).await?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/").await?;
    browser.follow("Try it").await?;
    browser.push("A payment that is declined").await?;
    browser.wait_for_text("It is FAILED, payment declined").await?;
    let drawn = "return [...document.querySelectorAll('svg.sequence text')].map((label) => label.textContent)";
    let drawn = browser.session.script(drawn, &[]).await?;
    let drawn: Vec<&str> = drawn.as_array().context("a list")?.iter().filter_map(Value::as_str).collect();
    for event in ["OrderCreated", "StockReserved", "PaymentFailed", "StockReleased"] {
        ensure!(drawn.contains(&event), "{event} is not drawn: {drawn:?}");
    }
    ensure!(!drawn.contains(&"PaymentAuthorized") && !drawn.contains(&"still to come"), "{drawn:?}");
    let stock = system.client.stock("SKU-ABC").await?;
    ensure!(stock["quantity"] == 10 && stock["reserved"] == 0, "{stock}");
    browser.finish().await
}

/// Presses the tabulator, and returns the role and the name of what has the focus then. One must see which it is.
async fn tab(browser: &Browser) -> Result<(String, String)> {
    browser.session.press(&keys::TAB.to_string()).await?;
    let (role, name) = browser.session.role_and_name(&browser.session.focused().await?).await?;
    let outline = "const style = getComputedStyle(document.activeElement); return style.outlineStyle === 'none' ? 0 : \
                   parseFloat(style.outlineWidth)";
    let outline = browser.session.script(outline, &[]).await?;
    ensure!(outline.as_f64() >= Some(2.0), "the {role} {name:?} has an outline of {outline} px");
    Ok((role, name))
}

/// Presses the tabulator until the element with this role and name has the focus.
async fn tab_to(browser: &Browser, role: &str, name: &str) -> Result<()> {
    let mut passed = Vec::new();
    while passed.len() < 30 {
        let reached = tab(browser).await?;
        if reached == (role.to_owned(), name.to_owned()) {
            return Ok(());
        }
        passed.push(reached);
    }
    anyhow::bail!("the {role} {name:?} is not among {passed:?}")
}

#[tokio::test]
async fn an_order_is_placed_with_the_keyboard_alone() -> Result<()> {
    let system = TestSystem::start(&[])?;
    system.client.put_in_stock("SKU-ABC", 10).await?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/try").await?;
    let first = tab(&browser).await?;
    ensure!(first == ("link".to_owned(), "Skip to the content".to_owned()), "{first:?}");
    browser.session.press(&keys::ENTER.to_string()).await?;
    let (role, name) = tab(&browser).await?;
    ensure!((&*role, &*name) == ("button", "An order that is confirmed"), "it skips to the {role} {name:?}");
    tab_to(&browser, "textbox", "Quantity").await?;
    browser.session.press("4").await?;
    tab_to(&browser, "textbox", "Amount").await?;
    browser.session.press(&format!("55{}", keys::ENTER)).await?;
    browser.wait_for_text("It is CONFIRMED, after").await?;
    browser.wait_for_text("4 × SKU-ABC").await?;
    browser.wait_for_text("55 USD").await?;
    browser.finish().await
}
