//! Refunds: what clients have requested, and what must have become of it at the end.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    history::History,
    random::Random,
    wants::{PLENTY, Wants},
};
use testkit::client::{Client, ok};

/// The refunds of one order that clients have requested: the key, and the refund's id once a response has named it.
pub(crate) type Requested = BTreeMap<String, Option<String>>;

/// The content of a refund: a part of the amount, with or without one unit of the item that there is plenty of. `None`
/// if the order has none of these.
pub(crate) fn body(wants: Wants, key: &str, random: &mut Random) -> Option<Value> {
    let items = json!([{"item_sku": PLENTY, "quantity": 1}]);
    let amount = random.between(1, 120);
    match (wants, random.chance(50)) {
        (Wants::Plenty | Wants::TwoLines, true) => {
            Some(json!({"amount": amount, "items": items, "restock": true, "idempotency_key": key}))
        }
        (Wants::Plenty | Wants::TwoLines, false) => Some(json!({"amount": amount, "idempotency_key": key})),
        _ => None,
    }
}

/// Returns whether each requested refund has ended.
pub(crate) async fn have_ended(client: &Client, history: &History) -> Result<bool> {
    for order_id in requested(history).keys() {
        let has_ended = |refund: &Value| refund["status"] != "REQUESTED" && refund["restocked"] == refund["restock"];
        if !of_order(client, *order_id).await?.iter().all(has_ended) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Checks the refunds of all orders. Returns how many units came back.
pub(crate) async fn check(
    client: &Client,
    orders: &std::collections::HashMap<i64, Value>,
    history: &History,
) -> Result<i64> {
    let mut back = 0;
    for (order_id, keys) in requested(history) {
        let refunds = of_order(client, order_id).await?;
        let violation = |what: String| history.lock().violation(Some(order_id), what);
        let ids: BTreeSet<&str> = refunds.iter().filter_map(|refund| refund["refund_id"].as_str()).collect();
        for id in keys.values().flatten().filter(|id| !ids.contains(id.as_str())) {
            violation(format!("the refund {id} is lost"));
        }
        if refunds.len() > keys.len() || ids.len() != refunds.len() {
            violation(format!("{} keys have made these refunds: {refunds:?}", keys.len()));
        }
        let mut sum = 0.0;
        for refund in &refunds {
            // The simulated gateway refuses nothing, and every payment is captured.
            if refund["status"] != "SUCCEEDED" || refund["restocked"] != refund["restock"] {
                violation(format!("a refund has become {refund}"));
            }
            sum += refund["amount"].as_f64().unwrap_or_default();
            back += i64::from(refund["restocked"] == true);
        }
        let order = orders.get(&order_id).cloned().unwrap_or_default();
        let refunded = order["refunded_amount"].as_f64().unwrap_or_default();
        if (refunded - sum).abs() > 1e-6 || sum > order["amount"].as_f64().unwrap_or_default() {
            violation(format!("{sum} was refunded, and it is {order}"));
        }
    }
    Ok(back)
}

fn requested(history: &History) -> BTreeMap<i64, Requested> {
    history.lock().refunds.clone()
}

async fn of_order(client: &Client, order_id: i64) -> Result<Vec<Value>> {
    let path = format!("/api/v1/orders/{order_id}/refunds?limit=1000");
    Ok(ok(client.order(Method::GET, &path)).await?.as_array().cloned().unwrap_or_default())
}
