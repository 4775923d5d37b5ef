//! Load in a closed loop: each connection places an order, waits for its end, and places the next.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::sending::{Answer, Connection, Wait};

/// What is ordered.
#[derive(Debug, Clone, Copy)]
pub enum Mix {
    /// One unit of each of this many SKUs in turn: `SKU-0`, `SKU-1`, …
    Uniform(u64),
    /// One unit of `SKU-0`, always.
    OneHotSku,
    /// Like `Uniform`, but some orders have an amount that is declined.
    Declined {
        /// How many SKUs.
        skus: u64,
        /// How many of a hundred orders are declined.
        percent: u64,
    },
    /// In each order, one unit of each of five SKUs, out of this many; at least five.
    FiveLines(u64),
    /// Like `Uniform`, and each order is refunded once it is confirmed, with its goods: the connection goes on when the
    /// refund is durable.
    Refunded(u64),
}

impl Mix {
    /// Returns the SKUs that it orders.
    #[must_use]
    pub fn skus(self) -> u64 {
        match self {
            Self::Uniform(skus) | Self::FiveLines(skus) | Self::Refunded(skus) | Self::Declined { skus, .. } => skus,
            Self::OneHotSku => 1,
        }
    }

    /// Returns the body of the request that places the order with this number.
    pub(crate) fn body(self, number: u64) -> String {
        if let Self::FiveLines(skus) = self {
            let line = |sku| format!(r#"{{"item_sku":"SKU-{sku}","quantity":1}}"#);
            let lines: Vec<String> = (number * 5..).take(5).map(|sku| line(sku % skus)).collect();
            return format!(r#"{{"items":[{}],"amount":200,"currency":"USD"}}"#, lines.join(","));
        }
        let sku = number % self.skus();
        let amount = match self {
            // The declined orders are spread over the hundred.
            Self::Declined { percent, .. } if (number * 37) % 100 < percent => 1000,
            _ => 200,
        };
        format!(r#"{{"item_sku":"SKU-{sku}","quantity":1,"amount":{amount},"currency":"USD"}}"#)
    }
}

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// For this time.
    Elapsed(Duration),
    /// Until so many orders were answered.
    Orders(u64),
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// From the request to the answer, in microseconds, of the orders that were answered with their end.
    pub latency: Histogram<u64>,
    /// Orders that ended while their request waited.
    pub ended: u64,
    /// Of these, the confirmed ones.
    pub confirmed: u64,
    /// Orders that were still in progress when they were answered (202).
    pub pending: u64,
    /// Orders that were refused (503).
    pub refused: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

/// Loads the order service at `address` over this many `connections`.
///
/// # Errors
/// If a connection fails, or an answer is neither 200, 202 nor 503.
pub async fn closed_loop(address: SocketAddr, connections: usize, mix: Mix, until: Until) -> Result<Outcome> {
    closed_loop_over(&[address], None, connections, mix, until).await
}

/// Like [`closed_loop`], over several replicas of the order service, each connection to one of them, with this API key.
///
/// # Errors
/// As for [`closed_loop`].
pub async fn closed_loop_over(
    addresses: &[SocketAddr],
    key: Option<&str>,
    connections: usize,
    mix: Mix,
    until: Until,
) -> Result<Outcome> {
    let started = Instant::now();
    let (next, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut loops = JoinSet::new();
    for &address in addresses.iter().cycle().take(connections) {
        let key = key.map(str::to_owned);
        let (next, answered) = (Arc::clone(&next), Arc::clone(&answered));
        loops.spawn(async move {
            let connection = Connection::open(address, key).await?;
            one_loop(connection, mix, until, started, next, answered).await
        });
    }
    let mut all = Outcome::none()?;
    while let Some(one) = loops.join_next().await {
        all.add(&one??)?;
    }
    all.elapsed = started.elapsed();
    Ok(all)
}

async fn one_loop(
    mut connection: Connection,
    mix: Mix,
    until: Until,
    started: Instant,
    next: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
) -> Result<Outcome> {
    let mut outcome = Outcome::none()?;
    loop {
        let over = match until {
            Until::Elapsed(time) => started.elapsed() >= time,
            Until::Orders(orders) => answered.load(Ordering::Relaxed) >= orders,
        };
        if over {
            return Ok(outcome);
        }
        let body = mix.body(next.fetch_add(1, Ordering::Relaxed));
        let sent = Instant::now();
        let answer = match mix {
            Mix::Refunded(_) => connection.place_and_refund(body).await?,
            _ => connection.place(body, Wait::ForTheEnd).await?,
        };
        outcome.count(answer, sent.elapsed())?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Outcome {
    pub(crate) fn none() -> Result<Self> {
        Ok(Self {
            latency: Histogram::new(3)?,
            ended: 0,
            confirmed: 0,
            pending: 0,
            refused: 0,
            elapsed: Duration::ZERO,
        })
    }

    pub(crate) fn count(&mut self, answer: Answer, latency: Duration) -> Result<()> {
        match answer {
            Answer::Ended { confirmed } => {
                self.ended += 1;
                self.confirmed += u64::from(confirmed);
                self.latency.record(u64::try_from(latency.as_micros())?)?;
            }
            Answer::Pending => self.pending += 1,
            Answer::Refused => self.refused += 1,
        }
        Ok(())
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.latency.add(&other.latency)?;
        self.ended += other.ended;
        self.confirmed += other.confirmed;
        self.pending += other.pending;
        self.refused += other.refused;
        Ok(())
    }

    /// Returns the number of orders that ended, per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.ended as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the latency in milliseconds that this share of the orders did not exceed.
    #[must_use]
    pub fn milliseconds(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}
