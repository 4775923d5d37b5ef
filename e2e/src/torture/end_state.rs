//! What must hold once everything is repaired and at rest.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use shared_events::Service;

use super::{
    history::{Cancel, History, Placed, Wants},
    load::{HOT, MORE, PLENTY, SCARCE},
};
use crate::{
    client::{Client, answer, ok},
    stack::Stack,
};

/// An order that has not ended after this is given up by its service.
pub(crate) const DEADLINE_S: u64 = 120;
/// How many keys are asked for again.
const KEYS: usize = 500;

/// Checks all that was answered against what is there; returns how many orders ended in which way. Messages were `destroyed` at
/// these moments, in microseconds from the beginning of the run.
pub(crate) async fn check(
    stack: &mut Stack,
    history: &History,
    destroyed: &[u64],
    token: &str,
) -> Result<BTreeMap<String, usize>> {
    let replicas = stack.replicas.len() / Service::ALL.len();
    let clients: Vec<Client> = (0..replicas).map(|number| stack.client(number)).collect::<Result<_>>()?;
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
                    if let Err(what) = end(&placed, order, destroyed) {
                        history.violation(Some(order_id), what);
                    }
                }
            }
        }
    }
    keys(&clients, history).await?;
    stock(&clients[0], &orders, history).await?;
    dead_letters(&clients[0], token, history).await?;
    if let Err(error) = stack.verified().await {
        history.lock().violation(None, format!("the audit: {error:#}"));
    }
    if let Err(error) = stack.no_errors() {
        history.lock().violation(None, format!("the log: {error:#}"));
    }
    Ok(ends)
}

/// Whether the order is what was asked for, and has ended as it may.
fn end(placed: &Placed, order: &Value, destroyed: &[u64]) -> Result<(), String> {
    let sent = placed.wants.body(None);
    let line = |line: &Value| (line["item_sku"].clone(), line["quantity"].clone());
    let mut asked: Vec<_> = match sent["items"].as_array() {
        Some(items) => items.iter().map(line).collect(),
        None => vec![line(&sent)],
    };
    asked.sort_by_key(|(sku, _)| sku.to_string());
    let items: Vec<_> = order["items"].as_array().into_iter().flatten().map(line).collect();
    if items != asked || order["amount"] != sent["amount"] {
        return Err(format!("{placed:?} was asked for, and it is {order}"));
    }
    let (status, reason) =
        (order["status"].as_str().unwrap_or_default(), order["failure_reason"].as_str().unwrap_or_default());
    let may_be_cancelled = matches!(placed.cancel, Cancel::Accepted | Cancel::Maybe);
    let deadline_us = DEADLINE_S * 1_000_000;
    let lost_messages = || {
        let about = placed.answered.saturating_sub(15_000_000)..placed.answered + deadline_us;
        destroyed.iter().any(|at| about.contains(at))
    };
    let fits = match (status, reason) {
        ("CANCELLED", _) => may_be_cancelled,
        ("CONFIRMED", _) => {
            matches!(placed.wants, Wants::Plenty | Wants::TwoLines | Wants::Hot) && placed.cancel != Cancel::Accepted
        }
        ("FAILED", _) if placed.cancel == Cancel::Refused => false,
        ("FAILED", "DEADLINE_EXCEEDED") => lost_messages(),
        ("FAILED", "PAYMENT_DECLINED") => placed.wants == Wants::Declined,
        ("FAILED", "INSUFFICIENT_STOCK") => matches!(placed.wants, Wants::Hot | Wants::TooMuch),
        ("FAILED", "UNKNOWN_ITEM") => placed.wants == Wants::Unknown,
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("{placed:?} has ended as {status} {reason}")) }
}

/// Each key names its order for ever, at every replica.
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

/// What is sold is what was confirmed, and nothing is held.
async fn stock(client: &Client, orders: &HashMap<i64, Value>, history: &History) -> Result<()> {
    let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
    for order in orders.values().filter(|order| order["status"] == "CONFIRMED") {
        for line in order["items"].as_array().into_iter().flatten() {
            *sold.entry(line["item_sku"].as_str().unwrap_or_default()).or_default() +=
                line["quantity"].as_i64().unwrap_or_default();
        }
    }
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
            history.lock().violation(letter["order_id"].as_i64(), format!("a dead letter: {letter}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(wants: Wants, cancel: Cancel) -> Placed {
        Placed { key: None, wants, answered: 200_000_000, cancel }
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
    fn an_order_is_what_was_asked_for() {
        let two = placed(Wants::TwoLines, Cancel::No);
        end(&two, &order(Wants::TwoLines, "CONFIRMED", ""), &[]).unwrap();
        assert!(end(&two, &order(Wants::Plenty, "CONFIRMED", ""), &[]).is_err());
    }

    #[test]
    fn an_order_ends_as_it_was_asked_for() {
        let ends = |wants, cancel, status, reason, destroyed: &[u64]| {
            end(&placed(wants, cancel), &order(wants, status, reason), destroyed).is_ok()
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
    fn an_order_ends_by_its_deadline_only_where_messages_were_destroyed() {
        let ends = |destroyed: &[u64]| {
            let late = order(Wants::Plenty, "FAILED", "DEADLINE_EXCEEDED");
            end(&placed(Wants::Plenty, Cancel::No), &late, destroyed).is_ok()
        };
        assert!(!ends(&[]));
        assert!(!ends(&[100_000_000, 400_000_000]));
        assert!(ends(&[205_000_000]));
    }
}
