//! The console as a program of its own, while the services do not run.

use anyhow::{Result, ensure};
use browser_tests::{Browser, ConsoleAlone, TestSystem};

#[tokio::test]
async fn now_says_what_is_wrong_and_what_to_do_until_the_services_are_back() -> Result<()> {
    let system = TestSystem::start(&[])?;
    let console = ConsoleAlone::start(system.running.addresses).await?;
    let browser = Browser::start(console.address).await?;
    browser.go("/").await?;
    browser.wait_for_text("Nothing is wrong").await?;
    browser.mark().await?;

    let addresses = system.running.addresses;
    let stopped = system.crash()?;
    for (service, address) in ["order", "inventory", "payment"].into_iter().zip(addresses) {
        browser.wait_for_text(&format!("The {service} service cannot be reached at http://{address}/.")).await?;
        browser
            .wait_for_text(&format!("Start the service, or give the console its address with --{service}-url."))
            .await?;
    }
    ensure!(!browser.text().await?.contains("Nothing is wrong"), "{}", browser.text().await?);
    browser.assert_rules().await?;

    let _system = stopped.restart()?;
    browser.wait_for_text("Nothing is wrong").await?;
    browser.assert_same_page().await?;
    browser.finish().await
}
