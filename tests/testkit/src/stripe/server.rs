use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Json, Router,
    extract::{Path, Query, RawForm, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    books::{Books, Totals},
    faults::{Fault, Requests, broken, error, rate_limit},
    objects::Fields,
};

/// The only API key that it accepts.
pub const API_KEY: &str = "sk_test_fake";

/// A running fake. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeStripe {
    /// The address of its API, without `/v1`.
    pub url: Uri,
    account: Arc<Account>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Account {
    books: Mutex<Books>,
    requests: Mutex<Requests>,
}

impl FakeStripe {
    /// Starts it, with an account that has no payments.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let account = Arc::new(Account::default());
        let routes = Router::new().route("/v1/{*path}", get(read).post(change)).with_state(Arc::clone(&account));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, account, server }
    }

    /// The next POSTs go wrong so.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.account.requests().faults.extend(faults);
    }

    /// Somebody changes something in the account without the adapter, as in Stripe's dashboard: a POST to `path`, which
    /// is behind `/v1/`.
    pub fn change_by_hand(&self, path: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (status, body) = self.account.books().post(path, fields);
        assert!(status.is_success(), "{path}: {body}");
    }

    /// More than 24 hours pass: the idempotency keys are forgotten.
    pub fn forget_keys(&self) {
        self.account.requests().answers.clear();
    }

    /// The search finds what was created so far.
    pub fn index(&self) {
        let mut books = self.account.books();
        books.indexed = books.intents.len();
        // So that it is not found as a recent one.
        books.intents.iter_mut().for_each(|intent| intent.created = 0);
    }

    /// The authorizations expire. Stripe first refuses to capture, and then cancels the intents.
    pub fn expire_authorizations(&self, cancelled: bool) {
        let mut books = self.account.books();
        books.charges_expired = true;
        for intent in books.intents.iter_mut().filter(|intent| cancelled && intent.status == "requires_capture") {
            (intent.status, intent.cancellation_reason) = ("canceled", Some("automatic"));
        }
    }

    /// The last refund fails at the customer's bank.
    pub fn fail_last_refund(&self) {
        self.account.books().fail_last_refund();
    }

    /// From now on, reads get an error 503, or do not.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.account.requests().unavailable = unavailable;
    }

    /// What is booked for the payments with this key.
    pub fn totals(&self, key: &str) -> Totals {
        self.account.books().totals(key)
    }

    /// The bodies of the webhooks so far.
    pub fn events(&self) -> Vec<Value> {
        self.account.books().events.clone()
    }

    /// The number of payment intents.
    pub fn intents(&self) -> usize {
        self.account.books().intents.len()
    }
}

impl Drop for FakeStripe {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Account {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a request, or repeats the answer to its key.
    async fn carry_out(&self, key: &str, path: &str, form: String, fault: Option<Fault>) -> Response {
        let fields: Fields = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let object = path.rsplit_once('/').map_or(key, |(object, _)| object);
        let request = format!("{path} {form}");
        if let Some(response) = self.requests().begin(key, object, &request) {
            return response;
        }
        // So that requests at the same time meet.
        tokio::task::yield_now().await;
        let mut answer = match fault {
            Some(Fault::Error { done: false }) => error(500, "api_error", "", "before").0,
            _ => self.books().post(path, fields),
        };
        if fault == Some(Fault::Error { done: true }) {
            answer = error(500, "api_error", "", "after").0;
        }
        self.requests().end(key, object, request, &answer);
        (answer.0, Json(answer.1)).into_response()
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn change(
    State(account): State<Arc<Account>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Response {
    let Some(key) = header(&headers, "Idempotency-Key") else {
        return error(400, "invalid_request_error", "no_key", "the adapter always sends a key").into_response();
    };
    if let Some(response) = refusal(&headers) {
        return response;
    }
    let fault = account.requests().faults.pop_front();
    if fault == Some(Fault::RateLimit) {
        return rate_limit();
    }
    let form = String::from_utf8_lossy(&form).into_owned();
    let response = account.carry_out(key, &path, form, fault).await;
    match fault {
        Some(Fault::LostAnswer) => broken(),
        Some(Fault::NoAnswer) => std::future::pending().await,
        _ => response,
    }
}

async fn read(
    State(account): State<Arc<Account>>,
    Path(path): Path<String>,
    Query(query): Query<Fields>,
    headers: HeaderMap,
) -> Response {
    if let Some(response) = refusal(&headers) {
        return response;
    }
    if account.requests().unavailable {
        return error(503, "api_error", "", "not now").into_response();
    }
    let books = account.books();
    let newest_first = books.intents.iter().rev();
    match path.as_str() {
        "payment_intents" => {
            let since = query.get("created[gte]").and_then(|since| since.parse().ok()).unwrap_or(0);
            page(newest_first.filter(|intent| intent.created >= since).map(|intent| intent.to_json()), &query)
        }
        "payment_intents/search" => {
            let key = query["query"].strip_prefix("metadata['payment_key']:'").unwrap().strip_suffix('\'');
            let found = books.intents[..books.indexed].iter().filter(|intent| intent.key() == key);
            page(found.map(|intent| intent.to_json()), &query)
        }
        "refunds" => {
            let of_intent = books.refunds.iter().rev().filter(|refund| refund.intent == query["payment_intent"]);
            page(of_intent.map(|refund| refund.to_json()), &query)
        }
        path => {
            let id = path.strip_prefix("payment_intents/");
            match books.intents.iter().find(|intent| Some(intent.id.as_str()) == id) {
                Some(intent) => Json(intent.to_json()).into_response(),
                None => error(404, "invalid_request_error", "resource_missing", "No such object").into_response(),
            }
        }
    }
}

/// A page of three objects, so that lists have several.
fn page(objects: impl Iterator<Item = Value>, query: &Fields) -> Response {
    assert_ne!(query.get("limit").map(String::as_str), Some("0"));
    let after = query.get("starting_after");
    let objects: Vec<_> = objects.collect();
    let begin = after.map_or(0, |after| objects.iter().position(|object| object["id"] == **after).unwrap() + 1);
    let data: Vec<_> = objects[begin..].iter().take(3).collect();
    Json(json!({"object": "list", "data": data, "has_more": begin + data.len() < objects.len()})).into_response()
}

fn refusal(headers: &HeaderMap) -> Option<Response> {
    if header(headers, "Authorization") != Some(&format!("Bearer {API_KEY}")) {
        return Some(error(401, "invalid_request_error", "", "Invalid API Key provided").into_response());
    }
    assert!(header(headers, "Stripe-Version").is_some(), "the adapter names the version of the API");
    None
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
