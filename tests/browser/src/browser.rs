use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use test_servers::ChromeDriver;
use tokio::time::{Instant, interval};

use crate::webdriver::{Element, Session};

/// How long a state is waited for before that counts as a failure.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The size of the window, in CSS pixels.
const SIZE: (u32, u32) = (1280, 900);

/// A browser with one window, which shows pages of a console.
#[derive(Debug)]
pub struct Browser {
    /// For what the methods here do not cover.
    pub session: Session,
    driver: ChromeDriver,
    base: String,
}

impl Browser {
    /// Starts a browser for the console at this address.
    ///
    /// # Errors
    /// If Chromium or its driver is missing or does not start.
    pub async fn start(console: SocketAddr) -> Result<Self> {
        let driver = ChromeDriver::start()?;
        let arguments = [
            "--headless",
            // The sandbox needs rights that containers do not give, and only our own pages are shown.
            "--no-sandbox",
            // /dev/shm is small in containers.
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            &format!("--window-size={},{}", SIZE.0, SIZE.1),
        ];
        let capabilities = json!({
            "goog:chromeOptions": {"binary": driver.browser(), "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let session = Session::new(&driver.url(), capabilities).await?;
        let browser = Self { session, driver, base: format!("http://{console}") };
        browser.resize(SIZE.0, SIZE.1).await?;
        Ok(browser)
    }

    /// Returns the directory in which the browser keeps its profile as long as it runs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.driver.directory()
    }

    /// Changes the size of the visible part of the page, in CSS pixels.
    ///
    /// # Errors
    /// If the browser refuses.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.session.devtools("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    /// Loads the page at this path of the console.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn go(&self, path: &str) -> Result<()> {
        self.session.go(&format!("{}{path}", self.base)).await
    }

    /// Returns the path of the page that is shown.
    ///
    /// # Errors
    /// If it is a page from elsewhere.
    pub async fn path(&self) -> Result<String> {
        let url = self.session.script("return location.href", &[]).await?;
        let url = url.as_str().unwrap_or_default();
        Ok(url.strip_prefix(&self.base).with_context(|| format!("{url} is no page of the console"))?.to_owned())
    }

    /// Returns the text of the page, as one reads it.
    ///
    /// # Errors
    /// If the browser does not answer.
    pub async fn text(&self) -> Result<String> {
        let text = self.session.script("return document.body.innerText", &[]).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page has this text.
    ///
    /// # Errors
    /// If it has not within the time limit; the error has its text.
    pub async fn wait_for_text(&self, text: &str) -> Result<()> {
        let found = "return document.body.innerText.includes(arguments[0])";
        self.wait_until(&format!("the text {text:?}"), found, &[text.into()]).await.map(drop)
    }

    /// Waits until a script returns something other than `false`, `null`, an empty text or an empty list, and returns
    /// it.
    ///
    /// # Errors
    /// If it does not within the time limit; the error has the text of the page.
    pub async fn wait_until(&self, what: &str, script: &str, arguments: &[Value]) -> Result<Value> {
        let read = || self.session.script(script, arguments);
        self.wait(what, read, |value| !matches!(value, Value::Null | Value::Bool(false)) && *value != json!([])).await
    }

    /// Waits until `reached` is true for what `read` returns. An error of `read` counts as not yet: while a page is
    /// replaced by the next one, its elements are gone.
    async fn wait<T, F>(&self, what: &str, mut read: impl FnMut() -> F, reached: impl Fn(&T) -> bool) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let deadline = Instant::now() + TIMEOUT;
        let mut steps = interval(Duration::from_millis(25));
        loop {
            steps.tick().await;
            let state = read().await;
            if let Ok(state) = state
                && reached(&state)
            {
                return Ok(state);
            } else if Instant::now() > deadline {
                let path = self.path().await.unwrap_or_else(|error| format!("{error:#}"));
                let text = self.text().await.unwrap_or_else(|error| format!("{error:#}"));
                bail!("{what} does not appear within {TIMEOUT:?}. The page {path} says:\n{text}");
            }
        }
    }

    /// Waits for the only element that an XPath expression selects.
    ///
    /// # Errors
    /// If there are none or several within the time limit.
    pub async fn element(&self, xpath: &str) -> Result<Element> {
        let found = self.wait(xpath, || self.session.find(xpath), |found| found.len() == 1).await?;
        found.into_iter().next().context("there is one")
    }

    /// Clicks the link with this text.
    ///
    /// # Errors
    /// If there is none or there are several.
    pub async fn follow(&self, text: &str) -> Result<()> {
        self.click(&format!("//a[normalize-space() = {text:?}]")).await
    }

    /// Clicks the button with this text.
    ///
    /// # Errors
    /// If there is none or there are several.
    pub async fn push(&self, text: &str) -> Result<()> {
        self.click(&format!("//button[normalize-space() = {text:?}]")).await
    }

    /// Opens the details with this summary.
    ///
    /// # Errors
    /// If there are none or several.
    pub async fn open(&self, summary: &str) -> Result<()> {
        self.click(&format!("//summary[normalize-space() = {summary:?}]")).await
    }

    async fn click(&self, xpath: &str) -> Result<()> {
        let element = self.element(xpath).await?;
        self.session.click(&element).await
    }

    /// Types a text into the input with this label, in the section (or the only `main`) with this heading.
    ///
    /// # Errors
    /// If there is none or there are several.
    pub async fn fill(&self, heading: &str, label: &str, text: &str) -> Result<()> {
        let section = format!("//*[self::section or self::main][*[normalize-space() = {heading:?}]]");
        let input = format!("{section}//input[@id = //label[normalize-space() = {label:?}]/@for]");
        let input = self.element(&input).await?;
        self.session.fill(&input, text).await
    }

    /// Puts a mark on the page that a navigation or a reload would remove.
    ///
    /// # Errors
    /// If the browser does not answer.
    pub async fn mark(&self) -> Result<()> {
        self.session.script("window.isStillTheSamePage = true", &[]).await.map(drop)
    }

    /// Checks that the page is the one that was marked.
    ///
    /// # Errors
    /// If it is not.
    pub async fn assert_same_page(&self) -> Result<()> {
        let same = self.session.script("return window.isStillTheSamePage === true", &[]).await?;
        ensure!(same == true, "the page was loaded again");
        Ok(())
    }

    /// Ends the test: checks that the browser has reported no error, such as one of a script, a request that failed or
    /// a violation of the content security policy, and that each request went to the console.
    ///
    /// # Errors
    /// If not.
    pub async fn finish(self) -> Result<()> {
        let requests = self.requests().await?;
        // A `data:` URL is content, not a request: Chromium's own icons are such.
        let is_own = |url: &str| url.starts_with("data:") || url.starts_with(&format!("{}/", self.base));
        let foreign: Vec<_> = requests.iter().filter(|url| !is_own(url)).collect();
        ensure!(!requests.is_empty() && foreign.is_empty(), "requests to somewhere else: {foreign:#?}");
        let reports = self.reports().await?;
        ensure!(reports.is_empty(), "the browser reports: {reports:#?}");
        Ok(())
    }

    /// Returns what the browser has written to its console since the last call.
    ///
    /// # Errors
    /// If the browser does not answer.
    pub async fn reports(&self) -> Result<Vec<String>> {
        let entries = self.session.log("browser").await?;
        Ok(entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Returns the URLs that the browser has requested since the last call, also those that are not part of a page.
    ///
    /// # Errors
    /// If the browser does not answer.
    pub async fn requests(&self) -> Result<Vec<String>> {
        let mut requests = Vec::new();
        for entry in self.session.log("performance").await? {
            let event: Value = serde_json::from_str(entry["message"].as_str().context("an entry has a message")?)?;
            let event = &event["message"];
            if event["method"] == "Network.requestWillBeSent" {
                requests.push(event["params"]["request"]["url"].as_str().context("a request has a URL")?.to_owned());
            }
        }
        Ok(requests)
    }
}
