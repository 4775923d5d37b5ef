//! Checks what must hold when everything is repaired and at rest.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use shared_events::Service;

use super::{
    checker::Known,
    history::{Cancel, History, Placed},
    refunds,
    wants::{HOT, MORE, PLENTY, SCARCE, Wants},
};
use testkit::{
    client::{Client, answer, ok},
    stack::Stack,
};

/// The deadline of an order, in seconds. The order service cancels an order that has not ended by then.
pub(crate) const DEADLINE_S: u64 = 120;
/// Number of idempotency keys that are checked at the end.
const KEYS: usize = 500;

/// A time span in which messages were destroyed, in microseconds since the start of the run.
pub(crate) type Destroyed = (u64, u64);

/// Compares all responses with the final data. Returns the number of orders by final status and reason.
pub(crate) async fn check(
    stack: &mut Stack,
    history: &History,
    destroyed: &[Destroyed],
    token: &str,
) -> Result<BTreeMap<String, usize>> {
    let clients = clients(stack)?;
    let mut orders = HashMap::new();
    for order in clients[0].orders().await? {
        orders.insert(order["order_id"].as_i64().context("a number")?, order);
    }
    let mut ends = BTreeMap::new();
    for order in orders.values() {
        let text = |field: &str| order[field].as_str().unwrap_or_default();
        let end = [text("status"), text("failure_reason")].join(" ").trim().to_owned();
        *ends.entry(end).or_default() += 1;
    }
    {
        let now = history.now();
        let mut history = history.lock();
        for (order_id, placed) in history.placed.clone() {
            match orders.get(&order_id) {
                None => history.violation(Some(order_id), format!("{placed:?} is lost")),
                Some(order) => {
                    history.order_read(order, now, now);
                    let ended_by = history.known.get(&order_id).and_then(Known::ended_by).unwrap_or(now);
                    if let Err(what) = end(&placed, order, ended_by, destroyed) {
                        history.violation(Some(order_id), what);
                    }
                }
            }
        }
    }
    history.lock().check_unknown_orders(&orders);
    keys(&clients, history).await?;
    let returned = refunds::check(&clients[0], &orders, history).await?;
    stock(&clients[0], &orders, returned, history).await?;
    dead_letters(&clients[0], token, history).await?;
    if let Err(error) = stack.verified().await {
        history.lock().violation(None, format!("the audit: {error:#}"));
    }
    if let Err(error) = stack.no_errors() {
        history.lock().violation(None, format!("the log: {error:#}"));
    }
    Ok(ends)
}

/// Returns a client for each replica.
pub(crate) fn clients(stack: &mut Stack) -> Result<Vec<Client>> {
    (0..stack.replicas.len() / Service::ALL.len()).map(|number| stack.client(number)).collect()
}

/// Returns whether messages about this order can have been destroyed before its deadline. It was known to have ended at
/// `ended_by`.
///
/// An order that was requested later had none in the queue, and neither had an order that had ended before.
fn lost_messages(placed: &Placed, ended_by: u64, destroyed: &[Destroyed]) -> bool {
    let deadline = placed.answered + DEADLINE_S * 1_000_000;
    destroyed.iter().any(|(began, ended)| placed.began <= *ended && *began <= ended_by && *began <= deadline)
}

/// Returns whether the order has the lines and the amount that were requested.
pub(crate) fn matches_request(wants: Wants, order: &Value) -> bool {
    let sent = wants.body(None);
    let line = |line: &Value| (line["item_sku"].clone(), line["quantity"].clone());
    let mut asked: Vec<_> = match sent["items"].as_array() {
        Some(items) => items.iter().map(line).collect(),
        None => vec![line(&sent)],
    };
    asked.sort_by_key(|(sku, _)| sku.to_string());
    let items: Vec<_> = order["items"].as_array().into_iter().flatten().map(line).collect();
    items == asked && order["amount"] == sent["amount"]
}

/// Checks that the order is what was requested, and that its final status is allowed.
fn end(placed: &Placed, order: &Value, ended_by: u64, destroyed: &[Destroyed]) -> Result<(), String> {
    if !matches_request(placed.wants, order) {
        return Err(format!("{placed:?} was asked for, and it is {order}"));
    }
    let (status, reason) =
        (order["status"].as_str().unwrap_or_default(), order["failure_reason"].as_str().unwrap_or_default());
    let may_be_cancelled = matches!(placed.cancel, Cancel::Accepted | Cancel::Maybe);
    let fits = match (status, reason) {
        ("CANCELLED", _) => may_be_cancelled,
        ("CONFIRMED", _) => {
            matches!(placed.wants, Wants::Plenty | Wants::TwoLines | Wants::Hot) && placed.cancel != Cancel::Accepted
        }
        ("FAILED", _) if placed.cancel == Cancel::Refused => false,
        ("FAILED", "DEADLINE_EXCEEDED") => lost_messages(placed, ended_by, destroyed),
        ("FAILED", "PAYMENT_DECLINED") => placed.wants == Wants::Declined,
        ("FAILED", "INSUFFICIENT_STOCK") => matches!(placed.wants, Wants::Hot | Wants::TooMuch),
        ("FAILED", "UNKNOWN_ITEM") => placed.wants == Wants::Unknown,
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("{placed:?} has ended as {status} {reason}")) }
}

/// Checks that each idempotency key still returns its order, at every replica.
async fn keys(clients: &[Client], history: &History) -> Result<()> {
    let named: Vec<(i64, Placed)> = {
        let history = history.lock();
        let with_key = history.placed.iter().filter(|(_, placed)| placed.key.is_some());
        let step = (history.placed.len() / KEYS).max(1);
        with_key.step_by(step).map(|(order_id, placed)| (*order_id, placed.clone())).collect()
    };
    for (number, (order_id, placed)) in named.into_iter().enumerate() {
        let client = &clients[number % clients.len()];
        let body = placed.wants.body(placed.key.as_deref());
        let (status, order) = answer(client.order(Method::POST, "/api/v1/orders").json(&body)).await?;
        if order["order_id"] != json!(order_id) {
            history.lock().violation(Some(order_id), format!("its key names another at the end: {status} {order}"));
        }
    }
    Ok(())
}

/// Returns whether stock is held for any order.
pub(crate) async fn stock_is_held(client: &Client) -> Result<bool> {
    for sku in [PLENTY, MORE, HOT, SCARCE] {
        if client.stock(sku).await?["reserved"] != json!(0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Checks that exactly the confirmed units are sold, without the units of [`PLENTY`] that came back, and that nothing
/// is held.
async fn stock(client: &Client, orders: &HashMap<i64, Value>, returned: i64, history: &History) -> Result<()> {
    let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
    for order in orders.values().filter(|order| order["status"] == "CONFIRMED") {
        for line in order["items"].as_array().into_iter().flatten() {
            *sold.entry(line["item_sku"].as_str().unwrap_or_default()).or_default() +=
                line["quantity"].as_i64().unwrap_or_default();
        }
    }
    *sold.entry(PLENTY).or_default() -= returned;
    for sku in [PLENTY, MORE, HOT, SCARCE] {
        let (item, sold) = (client.stock(sku).await?, sold.get(sku).copied().unwrap_or_default());
        let now = history.now();
        let mut history = history.lock();
        history.stock_read(&item, now, now);
        if item["sold"] != json!(sold) || item["reserved"] != json!(0) {
            history.violation(None, format!("{sold} of {sku} are in confirmed orders, and the stock is {item}"));
        }
    }
    Ok(())
}

async fn dead_letters(client: &Client, token: &str, history: &History) -> Result<()> {
    let path = "/admin/dead-letters";
    for request in
        [client.order(Method::GET, path), client.inventory(Method::GET, path), client.payment(Method::GET, path)]
    {
        let letters = ok(request.bearer_auth(token)).await?;
        for letter in letters.as_array().into_iter().flatten() {
            history.lock().violation(
                letter["subject"].as_str().and_then(|order| order.parse().ok()),
                format!("a dead letter: {letter}"),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(wants: Wants, cancel: Cancel) -> Placed {
        Placed { key: None, wants, began: 199_000_000, answered: 200_000_000, cancel }
    }

    fn order(wants: Wants, status: &str, reason: &str) -> Value {
        let mut order = wants.body(None);
        if order["items"].is_null() {
            order["items"] = json!([{"item_sku": order["item_sku"], "quantity": order["quantity"]}]);
        } else {
            order["items"].as_array_mut().unwrap().sort_by_key(|line| line["item_sku"].to_string());
        }
        order["status"] = json!(status);
        order["failure_reason"] = json!(reason);
        order
    }

    #[test]
    fn an_order_must_match_its_request() {
        let two = placed(Wants::TwoLines, Cancel::No);
        end(&two, &order(Wants::TwoLines, "CONFIRMED", ""), 0, &[]).unwrap();
        assert!(end(&two, &order(Wants::Plenty, "CONFIRMED", ""), 0, &[]).is_err());
    }

    #[test]
    fn an_order_ends_as_its_request_allows() {
        let ends = |wants, cancel, status, reason, destroyed: &[Destroyed]| {
            end(&placed(wants, cancel), &order(wants, status, reason), 0, destroyed).is_ok()
        };
        let no = Cancel::No;
        assert!(ends(Wants::Declined, no, "FAILED", "PAYMENT_DECLINED", &[]));
        assert!(!ends(Wants::Plenty, no, "FAILED", "PAYMENT_DECLINED", &[]));
        assert!(!ends(Wants::Declined, no, "CONFIRMED", "", &[]));
        assert!(!ends(Wants::Plenty, no, "PENDING", "", &[]));
        assert!(!ends(Wants::Plenty, no, "CANCELLED", "", &[]));
        assert!(ends(Wants::Plenty, Cancel::Maybe, "CANCELLED", "", &[]));
        assert!(!ends(Wants::Plenty, Cancel::Accepted, "CONFIRMED", "", &[]));
        assert!(!ends(Wants::Plenty, Cancel::Refused, "CANCELLED", "", &[]));
    }

    #[test]
    fn an_order_ends_by_its_deadline_only_if_messages_were_destroyed() {
        // The order was requested at 199 s, answered at 200 s, and known to have ended at this time, in seconds.
        let ends = |ended_by_s: u64, destroyed: &[Destroyed]| {
            let late = order(Wants::Plenty, "FAILED", "DEADLINE_EXCEEDED");
            end(&placed(Wants::Plenty, Cancel::No), &late, ended_by_s * 1_000_000, destroyed).is_ok()
        };
        let from_to = |from_ms: u64, to_ms: u64| (from_ms * 1_000, to_ms * 1_000);
        assert!(!ends(325, &[]));
        assert!(ends(325, &[from_to(205_000, 205_100)]));
        assert!(ends(325, &[from_to(198_900, 199_100)]), "it was requested while they were destroyed");
        assert!(!ends(325, &[from_to(198_000, 198_900)]), "it was requested afterwards");
        assert!(!ends(210, &[from_to(211_000, 211_100)]), "it had ended before");
        assert!(!ends(400, &[from_to(321_000, 321_100)]), "its deadline was before");
        assert!(ends(325, &[from_to(10_000, 10_100), from_to(319_000, 319_100)]), "one of them is enough");
    }
}
