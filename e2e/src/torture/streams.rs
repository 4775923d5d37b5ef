//! A client that watches all orders at one replica, and comes back whenever its stream ends.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{checker::Shown, history::History};

/// Between two tries to open the stream.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn watch(number: usize, address: SocketAddr, history: Arc<History>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let watched = async {
            let ended = one(number, address, &history).await;
            history.lock().count("stream", ended.is_ok());
            tokio::time::sleep(PAUSE).await;
        };
        if stop.run_until_cancelled(watched).await.is_none() {
            return;
        }
    }
}

/// Watches until the stream ends.
async fn one(number: usize, address: SocketAddr, history: &History) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).build()?;
    let mut stream = http.get(format!("http://{address}/api/v1/orders/stream")).send().await?.error_for_status()?;
    let mut shown: HashMap<i64, Shown> = HashMap::new();
    let mut text = String::new();
    while let Some(chunk) = stream.chunk().await? {
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data:"));
            let order = data.and_then(|data| serde_json::from_str::<Value>(data.trim()).ok());
            if let Some(order) = order.filter(|order| order["order_id"].is_i64()) {
                heard(number, &order, &mut shown, history);
            }
            text = rest.to_owned();
        }
    }
    Ok(())
}

fn heard(number: usize, order: &Value, shown: &mut HashMap<i64, Shown>, history: &History) {
    let order_id = order["order_id"].as_i64().unwrap_or_default();
    let now = history.now();
    let mut history = history.lock();
    if let Err(what) = shown.entry(order_id).or_default().event(order) {
        history.violation(Some(order_id), format!("stream {number}: {what}"));
    }
    // The event may be late, so it says nothing against what was read before; what it shows is true from now on.
    history.order_read(order, 0, now);
}
