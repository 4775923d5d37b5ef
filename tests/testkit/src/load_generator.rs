//! Simulated customers, who place orders of many kinds over all replicas, repeat each request until it is answered, and
//! record the responses.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared_events::Service;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Client, answer},
    stack::{Stack, TIMEOUT},
};

/// The stock of the SKU that is in short supply.
pub const HOT_STOCK: i64 = 150;
/// A SKU with enough stock.
pub const PLENTY: &str = "PLENTY";
/// A SKU whose stock does not suffice for all orders.
pub const HOT: &str = "HOT";
/// A SKU whose stock does not suffice for any single order.
pub const SCARCE: &str = "SCARCE";

/// How long to wait for a response before the request is repeated: longer than the service's own wait.
const ANSWER: Duration = Duration::from_secs(8);
/// The pause between two attempts to place the same order.
const PAUSE: Duration = Duration::from_millis(50);

/// A kind of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// The stock suffices, and the payment is authorized.
    Ordinary,
    /// Like the one above, without waiting for the end.
    Async,
    /// For the SKU that is in short supply.
    Hot,
    /// The payment is declined.
    Declined,
    /// The stock does not suffice.
    TooMuch,
    /// It is cancelled as soon as it is answered, even if it has ended by then.
    Cancelled,
}

/// An order that was answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Its idempotency key.
    pub key: String,
    /// What was ordered.
    pub kind: OrderKind,
    /// Its number.
    pub order_id: i64,
    /// Its status in the response.
    pub status: String,
    /// The response to its cancellation.
    pub cancelled: Option<StatusCode>,
}

/// Running customers, who place orders until they are stopped.
#[derive(Debug)]
pub struct LoadGenerator {
    answers: Arc<Answers>,
    loops: JoinSet<Result<()>>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Answers {
    answered: Mutex<Vec<Answered>>,
    counts: watch::Sender<Counts>,
}

/// How many orders were answered, and how many of these responses showed the order's end.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    answered: usize,
    ended: usize,
}

impl Answered {
    /// Whether the response showed the order's end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(&*self.status, "CONFIRMED" | "FAILED" | "CANCELLED")
    }
}

impl OrderKind {
    fn of(number: usize) -> Self {
        match number % 10 {
            2 => Self::Declined,
            4 => Self::TooMuch,
            1 | 6 => Self::Hot,
            3 | 8 => Self::Async,
            7 => Self::Cancelled,
            _ => Self::Ordinary,
        }
    }

    /// Returns the request for it.
    #[must_use]
    pub fn body(self, key: &str) -> Value {
        let (sku, amount) = match self {
            Self::Hot => (HOT, 20),
            Self::TooMuch => (SCARCE, 20),
            Self::Declined => (PLENTY, 1_000),
            Self::Ordinary | Self::Async | Self::Cancelled => (PLENTY, 200),
        };
        let quantity = if self == Self::TooMuch { 1_000 } else { 1 };
        json!({"item_sku": sku, "quantity": quantity, "amount": amount, "currency": "USD", "idempotency_key": key})
    }
}

impl LoadGenerator {
    /// Sets the stock, and starts `count` customers.
    ///
    /// # Errors
    /// If the stock cannot be set.
    pub async fn start(stack: &mut Stack, count: usize) -> Result<Self> {
        let client = stack.client(0)?;
        for (sku, quantity) in [(PLENTY, 1_000_000), (HOT, HOT_STOCK), (SCARCE, 3)] {
            client.put_in_stock(sku, quantity).await?;
        }
        let shops = stack.replicas.iter().filter(|replica| replica.service == Service::Order);
        let shops: Arc<[SocketAddr]> = shops.map(|replica| replica.address).collect();
        let (answers, stop) = (Arc::new(Answers::default()), CancellationToken::new());
        let mut loops = JoinSet::new();
        for number in 0..count {
            let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build()?;
            let customer = Customer { name: number, http, shops: Arc::clone(&shops), tries: number };
            loops.spawn(customer.place_orders(Arc::clone(&answers), stop.clone()));
        }
        Ok(Self { answers, loops, stop })
    }

    /// Waits until this many more orders have been answered.
    ///
    /// # Errors
    /// If that takes too long, or a customer has received an unexpected response.
    pub async fn answered(&mut self, more: usize) -> Result<()> {
        self.counted(more, "answers", |counts| counts.answered).await
    }

    /// Waits until this many more orders have been answered with their end.
    ///
    /// # Errors
    /// As [`Self::answered`].
    pub async fn ended(&mut self, more: usize) -> Result<()> {
        self.counted(more, "ends", |counts| counts.ended).await
    }

    async fn counted(&mut self, more: usize, what: &str, count: impl Fn(&Counts) -> usize) -> Result<()> {
        let mut counts = self.answers.counts.subscribe();
        let before = count(&counts.borrow_and_update());
        let reached = timeout(TIMEOUT, counts.wait_for(|counts| count(counts) >= before + more));
        tokio::select! {
            reached = reached => {
                reached.map(drop).with_context(|| {
                    let now = count(&self.answers.counts.borrow()) - before;
                    format!("not {more} {what}, but {now}, within {TIMEOUT:?}")
                })
            }
            Some(customer) = self.loops.join_next() => {
                customer??;
                bail!("a customer has gone home")
            }
        }
    }

    /// Stops the customers once the last order of each is answered. Returns all orders that were answered.
    ///
    /// # Errors
    /// If a customer does not get a response, or an unexpected one.
    pub async fn stop(mut self) -> Result<Vec<Answered>> {
        self.stop.cancel();
        let all = async {
            while let Some(customer) = self.loops.join_next().await {
                customer??;
            }
            anyhow::Ok(())
        };
        timeout(TIMEOUT, all).await.context("a customer still waits for an answer")??;
        Ok(self.answers.lock().clone())
    }
}

impl Answers {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Answered>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, answered: Answered) {
        let ended = usize::from(answered.has_ended());
        self.lock().push(answered);
        self.counts.send_modify(|counts| {
            counts.answered += 1;
            counts.ended += ended;
        });
    }
}

struct Customer {
    name: usize,
    http: reqwest::Client,
    shops: Arc<[SocketAddr]>,
    tries: usize,
}

impl Customer {
    async fn place_orders(mut self, answers: Arc<Answers>, stop: CancellationToken) -> Result<()> {
        // The customers do not all order the same at the same time.
        for number in self.name.. {
            if stop.is_cancelled() {
                break;
            }
            let (kind, key) = (OrderKind::of(number), format!("customer-{}-{number}", self.name));
            answers.add(self.order(kind, key).await?);
        }
        Ok(())
    }

    async fn order(&mut self, kind: OrderKind, key: String) -> Result<Answered> {
        let body = kind.body(&key);
        let at_once = matches!(kind, OrderKind::Async | OrderKind::Cancelled);
        let (status, order) = self.insist("/api/v1/orders", Some(&body), at_once).await?;
        ensure!(matches!(status.as_u16(), 200 | 202), "{key}: {status} {order}");
        let order_id = order["order_id"].as_i64().with_context(|| format!("{key}: {order}"))?;
        let mut answered = Answered { key, kind, order_id, status: text(&order["status"]), cancelled: None };
        if kind == OrderKind::Cancelled {
            let (status, body) = self.insist(&format!("/api/v1/orders/{order_id}/cancel"), None, false).await?;
            ensure!(matches!(status.as_u16(), 202 | 409), "cancel {order_id}: {status} {body}");
            answered.cancelled = Some(status);
        }
        Ok(answered)
    }

    /// Sends the request to one replica after the other until there is a response.
    async fn insist(&mut self, path: &str, body: Option<&Value>, at_once: bool) -> Result<(StatusCode, Value)> {
        loop {
            let shop = self.shops[self.tries % self.shops.len()];
            self.tries += 1;
            let mut request = self.http.post(format!("http://{shop}{path}"));
            if let Some(body) = body {
                request = request.json(body);
            }
            if at_once {
                request = request.header("prefer", "respond-async");
            }
            match answer(request).await {
                Ok((status, body)) if status != StatusCode::SERVICE_UNAVAILABLE => return Ok((status, body)),
                // It is unknown whether the request was carried out; repeating it does no harm.
                _ => sleep(PAUSE).await,
            }
        }
    }
}

/// Requests an order again with its key, and returns its number.
///
/// # Errors
/// If the response contains no order.
pub async fn number_of(client: &Client, answered: &Answered) -> Result<i64> {
    let request = client.order(reqwest::Method::POST, "/api/v1/orders").json(&answered.kind.body(&answered.key));
    let (status, body) = answer(request).await?;
    body["order_id"].as_i64().with_context(|| format!("{}: {status} {body}", answered.key))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
