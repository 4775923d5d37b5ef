//! A client of WebDriver (<https://www.w3.org/TR/webdriver2/>), with the two extensions of ChromeDriver that the tests
//! need: its logs and the DevTools protocol.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

/// The key under which WebDriver passes the reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How long an answer of the driver may take before that counts as a failure; it waits until a page is loaded.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A browser that the driver has started. It ends with its driver.
#[derive(Debug)]
pub struct Session {
    http: reqwest::Client,
    url: String,
}

/// An element of the page that was loaded when it was found.
#[derive(Debug, Clone)]
pub struct Element(String);

impl Session {
    /// Starts a browser.
    ///
    /// # Errors
    /// If the driver cannot start it.
    pub async fn new(driver: &str, capabilities: Value) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        let begin = Self { http, url: format!("{driver}/session") };
        let body = json!({"capabilities": {"alwaysMatch": capabilities}});
        let answer = begin.command(Method::POST, "", &body).await.context("the browser does not start")?;
        let id = answer["sessionId"].as_str().with_context(|| format!("no session: {answer}"))?;
        Ok(Self { url: format!("{driver}/session/{id}"), ..begin })
    }

    async fn command(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let request = self.http.request(method.clone(), format!("{}{path}", self.url));
        let request = if method == Method::POST { request.json(body) } else { request };
        let response = request.send().await.with_context(|| format!("the driver does not answer to {path}"))?;
        let (status, mut answer) = (response.status(), response.json::<Value>().await?);
        let value = answer["value"].take();
        if !status.is_success() {
            let text = |field: &str| value[field].as_str().unwrap_or_default().lines().next().unwrap_or_default();
            bail!("{path} {body}: {}: {}", text("error"), text("message"));
        }
        Ok(value)
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.command(Method::POST, path, &body).await
    }

    /// Loads a page, and waits until it is loaded.
    ///
    /// # Errors
    /// If there is no such page.
    pub async fn go(&self, url: &str) -> Result<()> {
        self.post("/url", json!({"url": url})).await.map(drop)
    }

    /// Returns the elements that an XPath expression selects.
    ///
    /// # Errors
    /// If the expression is wrong.
    pub async fn find(&self, xpath: &str) -> Result<Vec<Element>> {
        let found = self.post("/elements", json!({"using": "xpath", "value": xpath})).await?;
        let found = found.as_array().context("the elements are a list")?;
        found.iter().map(|one| Ok(Element(one[ELEMENT].as_str().context("an element")?.to_owned()))).collect()
    }

    /// Clicks an element, after it was scrolled into view.
    ///
    /// # Errors
    /// If something covers it, or the page has changed.
    pub async fn click(&self, Element(id): &Element) -> Result<()> {
        self.post(&format!("/element/{id}/click"), json!({})).await.map(drop)
    }

    /// Replaces the text of an input.
    ///
    /// # Errors
    /// If it is none.
    pub async fn fill(&self, Element(id): &Element, text: &str) -> Result<()> {
        self.post(&format!("/element/{id}/clear"), json!({})).await?;
        self.post(&format!("/element/{id}/value"), json!({"text": text})).await.map(drop)
    }

    /// Returns the role and the name that assistive technology gets of an element.
    ///
    /// # Errors
    /// If the page has changed.
    pub async fn role_and_name(&self, Element(id): &Element) -> Result<(String, String)> {
        let role = self.command(Method::GET, &format!("/element/{id}/computedrole"), &Value::Null).await?;
        let name = self.command(Method::GET, &format!("/element/{id}/computedlabel"), &Value::Null).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok((text(&role), text(&name)))
    }

    /// Returns the element that has the focus.
    ///
    /// # Errors
    /// If there is none.
    pub async fn focused(&self) -> Result<Element> {
        let found = self.command(Method::GET, "/element/active", &Value::Null).await?;
        Ok(Element(found[ELEMENT].as_str().context("an element")?.to_owned()))
    }

    /// Presses and releases keys on the keyboard, one after the other. Those without a character are in the table of
    /// <https://www.w3.org/TR/webdriver2/#keyboard-actions>.
    ///
    /// # Errors
    /// If the driver refuses them.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let one = |key: char| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}));
        let keys: Vec<Value> = keys.chars().flat_map(one).collect();
        self.post("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})).await.map(drop)
    }

    /// Runs the body of a JavaScript function, with these arguments as `arguments`, and returns what it returns.
    ///
    /// # Errors
    /// If it throws.
    pub async fn script(&self, body: &str, arguments: &[Value]) -> Result<Value> {
        self.post("/execute/sync", json!({"script": body, "args": arguments})).await
    }

    /// Returns the page as PNG, as far as it is in the window.
    ///
    /// # Errors
    /// If the driver cannot.
    pub async fn picture(&self) -> Result<Vec<u8>> {
        let picture = self.command(Method::GET, "/screenshot", &Value::Null).await?;
        Ok(STANDARD.decode(picture.as_str().context("a picture")?)?)
    }

    /// Returns the entries of a log, which are those since the last call.
    ///
    /// # Errors
    /// If the session was started without this log.
    pub async fn log(&self, name: &str) -> Result<Vec<Value>> {
        let entries = self.post("/se/log", json!({"type": name})).await?;
        Ok(entries.as_array().context("a log is a list")?.clone())
    }

    /// Runs a command of <https://chromedevtools.github.io/devtools-protocol/>.
    ///
    /// # Errors
    /// If the browser refuses it.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }
}
