//! The pictures in the documentation. `UPDATE_IMAGES=1 cargo nextest run -p browser-tests pictures` takes them again.

use std::{env, fs, path::Path};

use anyhow::{Result, ensure};
use browser_tests::{Browser, TestSystem};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// A picture in the documentation is to load at once.
const MAX_BYTES: usize = 200_000;

/// Whether those in the documentation are replaced.
fn is_update() -> bool {
    env::var_os("UPDATE_IMAGES").is_some()
}

/// Takes a picture of the page that is shown, from its top to this height in CSS pixels.
async fn take(browser: &Browser, name: &str, height: u32) -> Result<()> {
    browser.resize(1280, height).await?;
    let picture = browser.session.picture().await?;
    ensure!(picture.starts_with(b"\x89PNG"), "{name} is no PNG");
    ensure!(picture.len() < MAX_BYTES, "{name} has {} bytes", picture.len());
    let mut directories = vec!["target/images"];
    if is_update() {
        directories.push("docs/images");
    }
    for directory in directories {
        let directory = Path::new(WORKSPACE).join(directory);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(name), &picture)?;
    }
    Ok(())
}

#[tokio::test]
async fn of_the_pages_now_and_order_can_be_taken() -> Result<()> {
    let system = TestSystem::start(&["--gateway-latency=20ms"])?;
    system.client.put_in_stock("SKU-ABC", 1_000_000).await?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/try").await?;
    browser.push("A payment that is declined").await?;
    browser.wait_for_text("It is FAILED, payment declined").await?;
    take(&browser, "order.png", 630).await?;

    // Enough for a line that one can see, if the picture is kept.
    let (orders, seconds) = if is_update() { ("20000", 6) } else { ("2000", 2) };
    browser.go("/try").await?;
    for (label, text) in [("SKU", "SKU-ABC"), ("Orders", orders), ("Declined, %", "10")] {
        browser.fill("Place many orders", label, text).await?;
    }
    browser.push("Place them").await?;
    browser.wait_for_text("shows how they end").await?;
    browser.go("/").await?;
    let drawn =
        "return document.querySelector('.sparkline path').getAttribute('d').split(/[ML]/).length > arguments[0]";
    browser.wait_until("a line of rates", drawn, &[seconds.into()]).await?;
    // The last ones: until then, the newest orders are all running.
    browser.wait_for_text("CONFIRMED").await?;
    take(&browser, "now.png", 870).await?;
    browser.finish().await
}
