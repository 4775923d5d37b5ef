//! The clients: they place, repeat, cancel, refund, read and list orders at all replicas, and record the responses.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared_events::Service;
use tokio_util::sync::CancellationToken;

use super::{
    history::{Cancel, History, Operation, Placed},
    random::Random,
    refunds,
    unanswered::{self, Unanswered},
    wants::{HOT, MORE, PLENTY, SCARCE, SET, Wants},
};
use testkit::client::answer;

/// Timeout of a request: longer than the service waits for an order to end.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Pause between two operations of a client, in milliseconds.
const PAUSE_MS: (u64, u64) = (10, 60);

/// The addresses of the replicas.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) order: Vec<SocketAddr>,
    pub(crate) inventory: Vec<SocketAddr>,
}

/// The status and the body of a response.
type Response = (StatusCode, Value);

/// One client.
pub(crate) struct Client {
    name: String,
    http: reqwest::Client,
    addresses: Addresses,
    history: Arc<History>,
    random: Random,
    /// Its latest orders: order number, key and content.
    own: Vec<(i64, Option<String>, Wants)>,
    /// By order number: the key and the content of the latest refund that it has requested.
    refunds: HashMap<i64, (String, Value)>,
}

impl Client {
    pub(crate) fn new(number: usize, seed: u64, addresses: Addresses, history: Arc<History>) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        let random = Random::new(seed.wrapping_add(1 + number as u64));
        Ok(Self {
            name: format!("client {number}"),
            http,
            addresses,
            history,
            random,
            own: Vec::new(),
            refunds: HashMap::new(),
        })
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        for number in 0_u64.. {
            if stop.is_cancelled() {
                return;
            }
            match self.random.between(0, 20) {
                0..=8 => self.place(number).await,
                9 | 10 => self.repeat().await,
                11 => self.misuse_key().await,
                12 => self.cancel().await,
                13..=15 => self.get().await,
                16 => self.list().await,
                17 => self.timeline().await,
                18 => self.stock().await,
                19 => self.refund(number).await,
                _ => self.set_stock().await,
            }
            let pause = self.random.between(PAUSE_MS.0, PAUSE_MS.1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    fn url(&mut self, service: Service, path: &str) -> String {
        let replicas = if service == Service::Order { &self.addresses.order } else { &self.addresses.inventory };
        format!("http://{}{path}", self.random.one_of(replicas))
    }

    /// Sends a request and records it. Returns the response and the times at which the request began and ended.
    async fn send(&self, kind: &'static str, request: reqwest::RequestBuilder) -> (Option<Response>, u64, u64) {
        let (response, began, ended) = self.try_send(kind, request).await;
        (response.ok(), began, ended)
    }

    async fn try_send(&self, kind: &'static str, request: reqwest::RequestBuilder) -> (Result<Response>, u64, u64) {
        let began = self.history.now();
        let response = answer(request).await;
        let ended = self.history.now();
        self.history.lock().count(kind, response.is_ok());
        if let Ok((status, body)) = &response
            && status.is_server_error()
            && *status != StatusCode::SERVICE_UNAVAILABLE
        {
            self.history.lock().violation(None, format!("{kind}: {status} {body}"));
        }
        (response, began, ended)
    }

    fn note(&self, order_id: i64, what: String, response: &Option<Response>, began: u64, ended: u64) {
        let response = match response {
            Some((status, body)) => format!("{status} {}", body["status"].as_str().unwrap_or_default()),
            None => "no answer".to_owned(),
        };
        let operation = Operation { began, ended, who: self.name.clone(), what, response };
        self.history.lock().note(order_id, operation);
    }

    async fn place(&mut self, number: u64) {
        let wants = Wants::random(&mut self.random);
        let key = self.random.chance(70).then(|| format!("{}-{number}", self.name));
        self.post(key, wants).await;
    }

    /// Repeats one of its own placements: the same key and content must return the same order.
    async fn repeat(&mut self) {
        let with_key: Vec<_> = self.own.iter().filter(|(_, key, _)| key.is_some()).cloned().collect();
        if let Some((_, key, wants)) = with_key.last().cloned() {
            self.post(key, wants).await;
        }
    }

    async fn post(&mut self, key: Option<String>, wants: Wants) {
        let url = self.url(Service::Order, "/api/v1/orders/");
        let mut request = self.http.post(url).json(&wants.body(key.as_deref()));
        match self.random.between(0, 3) {
            0 => request = request.header("prefer", "respond-async"),
            1 => request = request.header("prefer", "wait=3"),
            _ => {}
        }
        let (response, began, ended) = self.try_send("place", request).await;
        if unanswered::nothing_was_written(&response) {
            return;
        }
        let response = response.ok().filter(|(status, _)| *status != StatusCode::SERVICE_UNAVAILABLE);
        let Some((status, order)) = &response else {
            return self.history.lock().unanswered.push(Unanswered { key, wants, began });
        };
        let Some(order_id) = order["order_id"].as_i64().filter(|_| matches!(status.as_u16(), 200 | 202)) else {
            return self.history.lock().violation(None, format!("{wants:?} {key:?}: {status} {order}"));
        };
        self.note(order_id, format!("place {wants:?} {key:?}"), &response, began, ended);
        let mut history = self.history.lock();
        history.order_read(order, began, ended);
        let new = Placed { key: key.clone(), wants, began, answered: ended, cancel: Cancel::No };
        let before = history.placed.entry(order_id).or_insert_with(|| new.clone()).clone();
        if (&before.key, before.wants) != (&key, wants) || (key.is_none() && before.answered != ended) {
            history.violation(Some(order_id), format!("it answers {new:?}, and was given to {before:?}"));
        }
        if let Some(key) = &key {
            let named = *history.by_key.entry(key.clone()).or_insert(order_id);
            if named != order_id {
                history.violation(Some(order_id), format!("{key} named order {named}, and now {order_id}"));
            }
        }
        drop(history);
        self.own.push((order_id, key, wants));
        if self.own.len() > 100 {
            self.own.remove(0);
        }
    }

    /// Sends the same key with other content, which must be refused.
    async fn misuse_key(&mut self) {
        let Some((order_id, Some(key), wants)) = self.own.last().cloned() else { return };
        let other = if wants == Wants::Hot { Wants::Plenty } else { Wants::Hot };
        let url = self.url(Service::Order, "/api/v1/orders/");
        let (response, began, ended) = self.send("misuse key", self.http.post(url).json(&other.body(Some(&key)))).await;
        self.note(order_id, format!("misuse {key}"), &response, began, ended);
        if let Some((status, body)) = response
            && !matches!(status.as_u16(), 422 | 503)
        {
            self.history.lock().violation(Some(order_id), format!("another order by the key {key}: {status} {body}"));
        }
    }

    async fn cancel(&mut self) {
        let Some((order_id, ..)) = self.own.last().cloned() else { return };
        let url = self.url(Service::Order, &format!("/api/v1/orders/{order_id}/cancel"));
        let (response, began, ended) = self.send("cancel", self.http.post(url)).await;
        self.note(order_id, "cancel".to_owned(), &response, began, ended);
        let cancel = match response.as_ref().map(|(status, _)| status.as_u16()) {
            Some(202) => Cancel::Accepted,
            Some(409) => Cancel::Refused,
            None | Some(503) => Cancel::Maybe,
            Some(_) => return self.history.lock().violation(Some(order_id), format!("cancel: {response:?}")),
        };
        let mut history = self.history.lock();
        if let Some(placed) = history.placed.get_mut(&order_id)
            // A later attempt without a response does not change what is known.
            && !(matches!(placed.cancel, Cancel::Accepted | Cancel::Refused) && cancel == Cancel::Maybe)
        {
            placed.cancel = cancel;
        }
        match (cancel, response) {
            (Cancel::Accepted, Some((_, order))) => history.order_read(&order, began, ended),
            (Cancel::Refused, _) => {
                let confirmed = json!({"order_id": order_id, "status": "CONFIRMED"});
                history.order_read(&confirmed, began, ended);
            }
            _ => {}
        }
    }

    /// Requests a refund of one of its latest orders, or repeats such a request.
    async fn refund(&mut self, number: u64) {
        let known: Vec<_> = self.own.iter().rev().take(10).map(|(order_id, _, wants)| (*order_id, *wants)).collect();
        if known.is_empty() {
            return;
        }
        let (order_id, wants) = *self.random.one_of(&known);
        let repeated = self.refunds.get(&order_id).filter(|_| self.random.chance(50)).cloned();
        let new = || format!("{}-refund-{number}", self.name);
        let key = repeated.as_ref().map_or_else(new, |(key, _)| key.clone());
        let body = repeated.map(|(_, body)| body).or_else(|| refunds::body(wants, &key, &mut self.random));
        let Some(body) = body else { return };
        self.refunds.insert(order_id, (key.clone(), body.clone()));
        // Without a response, it may have been requested.
        self.history.lock().refunds.entry(order_id).or_default().entry(key.clone()).or_default();
        let url = self.url(Service::Order, &format!("/api/v1/orders/{order_id}/refunds"));
        let (response, began, ended) = self.send("refund", self.http.post(url).json(&body)).await;
        self.note(order_id, format!("refund {body}"), &response, began, ended);
        let Some((status, refund)) = response else { return };
        let mut history = self.history.lock();
        match (status.as_u16(), refund["refund_id"].as_str()) {
            (202, Some(id)) => {
                history.order_read(&json!({"order_id": order_id, "status": "CONFIRMED"}), began, ended);
                let named = history.refunds.entry(order_id).or_default().entry(key).or_default();
                let before = named.replace(id.to_owned()).filter(|before| before != id);
                if let Some(before) = before {
                    history.violation(Some(order_id), format!("a key named the refund {before}, and now {refund}"));
                }
            }
            // It is not confirmed, or less is left of it.
            (409 | 422 | 503, _) => {}
            _ => history.violation(Some(order_id), format!("refund: {status} {refund}")),
        }
    }

    async fn get(&mut self) {
        let known: Vec<i64> = self.own.iter().rev().take(10).map(|(order_id, ..)| *order_id).collect();
        if known.is_empty() {
            return;
        }
        let order_id = *self.random.one_of(&known);
        let url = self.url(Service::Order, &format!("/api/v1/orders/{order_id}"));
        let (response, began, ended) = self.send("get", self.http.get(url)).await;
        self.note(order_id, "get".to_owned(), &response, began, ended);
        match response {
            Some((StatusCode::OK, order)) => self.history.lock().order_read(&order, began, ended),
            Some((StatusCode::NOT_FOUND, _)) => {
                self.history.lock().violation(Some(order_id), "it was answered, and is not there".to_owned());
            }
            _ => {}
        }
    }

    async fn list(&mut self) {
        let after = self.own.first().map_or(0, |(order_id, ..)| order_id - 1);
        let url = self.url(Service::Order, &format!("/api/v1/orders/?limit=200&after={after}"));
        let (response, began, ended) = self.send("list", self.http.get(url)).await;
        let Some((StatusCode::OK, Value::Array(orders))) = response else { return };
        let mut history = self.history.lock();
        for order in &orders {
            history.order_read(order, began, ended);
        }
        let numbers: Vec<i64> = orders.iter().filter_map(|order| order["order_id"].as_i64()).collect();
        if !numbers.is_sorted_by(|one, next| one < next) {
            history.violation(None, format!("a list that does not ascend: {numbers:?}"));
        }
        // Every order that was confirmed to the client before the list was requested must be in the list.
        if let Some(last) = numbers.last() {
            let answered = history.placed.range(after + 1..=*last);
            let lost: Vec<i64> = answered
                .filter(|(number, placed)| placed.answered < began && !numbers.contains(number))
                .map(|(number, _)| *number)
                .collect();
            for order_id in lost {
                history.violation(Some(order_id), "it was answered, and a later list does not have it".to_owned());
            }
        }
    }

    async fn timeline(&mut self) {
        let Some((order_id, ..)) = self.own.last().cloned() else { return };
        let url = self.url(Service::Order, &format!("/api/v1/orders/{order_id}/events"));
        let (response, ..) = self.send("timeline", self.http.get(url)).await;
        if let Some((StatusCode::OK, events)) = response
            && events[0]["event"] != "OrderCreated"
        {
            self.history.lock().violation(Some(order_id), format!("its timeline begins otherwise: {events}"));
        }
    }

    async fn stock(&mut self) {
        let sku = *self.random.one_of(&[PLENTY, MORE, HOT, SCARCE, SET]);
        let url = self.url(Service::Inventory, &format!("/api/v1/stock/{sku}"));
        let (response, began, ended) = self.send("stock", self.http.get(url)).await;
        if let Some((StatusCode::OK, item)) = response {
            self.history.lock().stock_read(&item, began, ended);
        }
    }

    async fn set_stock(&mut self) {
        let quantity = self.random.between(0, 1_000);
        let url = self.url(Service::Inventory, "/api/v1/stock/items");
        let body = json!({"item_sku": SET, "quantity": quantity});
        let (response, began, ended) = self.send("set stock", self.http.request(Method::POST, url).json(&body)).await;
        if let Some((StatusCode::CREATED, item)) = response {
            self.history.lock().stock_read(&item, began, ended);
        }
    }
}
