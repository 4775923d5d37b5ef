//! A client that watches all orders at one replica, and reconnects whenever its stream ends.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{checker::Shown, history::History};

/// A stream and what it has shown.
#[derive(Default)]
struct Watched {
    /// When it was requested, and when its last data arrived.
    opened: u64,
    last: u64,
    shown: HashMap<i64, Shown>,
    /// Whether it has reported that it missed changes.
    missed: bool,
}

/// Pause before the stream is opened again.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn watch(number: usize, address: SocketAddr, history: Arc<History>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let mut watched = Watched { opened: history.now(), ..Watched::default() };
        let ended = stop.run_until_cancelled(watched.run(number, address, &history)).await;
        watched.closed(number, &history);
        if let Some(ended) = ended {
            history.lock().count("stream", ended.is_ok());
            stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }
}

impl Watched {
    /// Reads until the stream ends.
    async fn run(&mut self, number: usize, address: SocketAddr, history: &History) -> Result<()> {
        let http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).build()?;
        let mut stream = http.get(format!("http://{address}/api/v1/orders/stream")).send().await?.error_for_status()?;
        let mut text = String::new();
        while let Some(chunk) = stream.chunk().await? {
            self.last = history.now();
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                let order = data.and_then(|data| serde_json::from_str::<Value>(data.trim()).ok());
                match order.filter(|order| order["order_id"].is_i64()) {
                    Some(order) => self.on_event(number, &order, history),
                    None => self.missed |= event.lines().any(|line| line == "event: missed"),
                }
                text = rest.to_owned();
            }
        }
        Ok(())
    }

    fn on_event(&mut self, number: usize, order: &Value, history: &History) {
        let order_id = order["order_id"].as_i64().unwrap_or_default();
        let now = history.now();
        let mut history = history.lock();
        if let Err(what) = self.shown.entry(order_id).or_default().event(order, now) {
            history.violation(Some(order_id), format!("stream {number}: {what}"));
        }
        // The event may be late, so it is not compared with earlier reads; but what it shows is true from now on.
        history.order_read(order, 0, now);
    }

    /// Compares the last event about each order with what was read before the stream was requested.
    fn closed(&self, number: usize, history: &History) {
        if self.missed {
            return;
        }
        let mut history = history.lock();
        for (order_id, shown) in &self.shown {
            let known = history.known.get(order_id);
            let checked = known.map_or(Ok(()), |known| shown.is_up_to_date(known, self.opened, self.last));
            if let Err(what) = checked {
                history.violation(Some(*order_id), format!("stream {number}: {what}"));
            }
        }
    }
}
