//! Each page, as it is for everybody.

use anyhow::{Context as _, Result, ensure};
use browser_tests::{Browser, TestSystem};

/// Returns the paths that the navigation leads to.
async fn navigation(browser: &Browser) -> Result<Vec<String>> {
    let paths = "return [...document.querySelectorAll('nav a')].map((link) => link.getAttribute('href'))";
    let paths = browser.session.script(paths, &[]).await?;
    let paths = paths.as_array().context("a list")?.iter().filter_map(|path| path.as_str());
    Ok(paths.map(str::to_owned).collect())
}

#[tokio::test]
async fn every_page_keeps_the_rules_and_asks_nobody_else() -> Result<()> {
    let system = TestSystem::start(&[])?;
    system.client.put_in_stock("SKU-ABC", 10).await?;
    for amount in [20, 5000] {
        system.client.place("SKU-ABC", 1, amount, None).await?;
    }
    system.client.place("SKU-ABC", 100, 20, Some("a-key")).await?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/").await?;
    let mut paths = navigation(&browser).await?;
    ensure!(paths.len() >= 3 && paths.contains(&"/try".to_owned()), "the navigation leads to {paths:?}");
    paths.extend(["/?paused=true", "/orders/1", "/orders/2", "/orders/3", "/orders/2/cancel"].map(str::to_owned));
    let mut broken = Vec::new();
    for path in &paths {
        browser.go(path).await?;
        browser.wait_until("a heading", "return document.querySelector('h1') !== null", &[]).await?;
        if let Err(error) = browser.assert_rules().await {
            broken.push(format!("{error:#}"));
        }
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    browser.finish().await
}

#[tokio::test]
async fn pages_that_say_no_keep_the_rules_too() -> Result<()> {
    let system = TestSystem::start(&["--admin-token=the-operators-token"])?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/").await?;
    browser.wait_for_text("Admin token").await?;
    browser.assert_rules().await
}
