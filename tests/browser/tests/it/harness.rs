//! What the other tests rely on: that faults are noticed, and that nothing of a browser remains.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use browser_tests::{Browser, TestSystem};

/// Returns the command lines of running processes with this text. Outside of Linux there are none.
fn processes_with(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(text)).collect()
}

#[tokio::test]
async fn nothing_of_a_browser_remains() -> Result<()> {
    let system = TestSystem::start(&[])?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/").await?;
    let directory = browser.directory().to_owned();
    let name = directory.to_str().unwrap_or_default();
    ensure!(!Path::new("/proc/self").exists() || !processes_with(name).is_empty(), "it runs with a profile in {name}");
    drop(browser);
    let remaining = processes_with(name);
    ensure!(remaining.is_empty(), "still running: {remaining:#?}");
    ensure!(!directory.exists(), "{name} is still there");
    Ok(())
}

#[tokio::test]
async fn requests_to_elsewhere_and_inline_scripts_are_noticed() -> Result<()> {
    let system = TestSystem::start(&[])?;
    let browser = Browser::start(system.console()?).await?;
    browser.go("/try").await?;
    ensure!(browser.reports().await?.is_empty());
    for (fault, report) in [
        (
            "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:1/x.png'}))",
            "Content Security Policy",
        ),
        (
            "document.body.append(Object.assign(document.createElement('script'), {text: '1'}))",
            "Content Security Policy",
        ),
        ("console.error('broken')", "broken"),
        ("setTimeout(() => { throw new Error('thrown'); })", "thrown"),
    ] {
        browser.session.script(fault, &[]).await?;
        let mut reports = Vec::new();
        while reports.is_empty() {
            reports = browser.reports().await?;
        }
        ensure!(reports[0].contains(report), "{fault}: {reports:?}");
    }
    // Not from a page, so that no policy applies.
    let elsewhere = format!("http://{}/health", system.running.addresses[0]);
    browser.session.go(&elsewhere).await?;
    let error = format!("{:#}", browser.finish().await.err().unwrap_or_else(|| anyhow::anyhow!("nothing")));
    ensure!(error.contains("requests to somewhere else") && error.contains(&elsewhere), "{error}");
    Ok(())
}

#[tokio::test]
async fn each_broken_rule_is_noticed() -> Result<()> {
    let system = TestSystem::start(&[])?;
    let browser = Browser::start(system.console()?).await?;
    for (fault, rule) in [
        ("document.documentElement.lang = ''", "the page has a language"),
        ("document.querySelector('main').append(document.createElement('h1'))", "the page has one h1"),
        ("document.querySelector('main').style.minWidth = '2000px'", "the page is no wider than the screen"),
        ("document.querySelector('label').remove()", "an input has a label"),
        ("document.querySelector('input').id = 'main'", "an id is unique"),
        ("document.querySelector('main button').textContent = ''", "it has a text"),
        ("document.querySelector('main').append(new Image())", "an image has a text"),
        ("document.querySelector('main').innerHTML += '<svg><text>x</text></svg>'", "a picture has a name"),
        ("document.querySelector('main').innerHTML += '<table><tr><td>1</table>'", "a table has headers"),
        ("document.querySelector('h1').style.color = '#8a8a8a'", "text has a contrast of 4.5"),
        ("document.querySelector('main').outerHTML = '<div>' + document.querySelector('main').innerHTML", "one main"),
    ] {
        browser.go("/try").await?;
        browser.assert_rules().await?;
        browser.session.script(fault, &[]).await?;
        let error = browser.assert_rules().await.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(error.contains(rule), "{fault}: {error}");
    }
    Ok(())
}
