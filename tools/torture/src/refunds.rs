//! Refunds: what clients have requested, and what must have become of it at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
        let has_ended = |refund: &Value| match refund["status"].as_str() {
            Some("SUCCEEDED") => refund["restocked"] == refund["restock"],
            status => status != Some("REQUESTED"),
        };
        if !of_order(client, *order_id).await?.iter().all(has_ended) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Checks the refunds of all orders. Returns how many units came back.
pub(crate) async fn check(client: &Client, orders: &HashMap<i64, Value>, history: &History) -> Result<i64> {
    let mut back = 0;
    for (order_id, keys) in requested(history) {
        let refunds = of_order(client, order_id).await?;
        let order = orders.get(&order_id).cloned().unwrap_or_default();
        for what in wrong(&keys, &refunds, &order) {
            history.lock().violation(Some(order_id), what);
        }
        back += i64::try_from(refunds.iter().filter(|refund| refund["restocked"] == true).count())?;
    }
    Ok(back)
}

/// Returns what is wrong with the refunds of an order that clients have requested with these keys.
fn wrong(keys: &Requested, refunds: &[Value], order: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let ids: BTreeSet<&str> = refunds.iter().filter_map(|refund| refund["refund_id"].as_str()).collect();
    for id in keys.values().flatten().filter(|id| !ids.contains(id.as_str())) {
        wrong.push(format!("the refund {id} is lost"));
    }
    if refunds.len() > keys.len() || ids.len() != refunds.len() {
        wrong.push(format!("{} keys have made these refunds: {refunds:?}", keys.len()));
    }
    // The simulated gateway refuses nothing, and every payment is captured.
    let has_succeeded = |refund: &Value| refund["status"] == "SUCCEEDED" && refund["restocked"] == refund["restock"];
    for refund in refunds.iter().filter(|refund| !has_succeeded(refund)) {
        wrong.push(format!("a refund has become {refund}"));
    }
    // All amounts are whole.
    let sum: f64 = refunds.iter().filter_map(|refund| refund["amount"].as_f64()).sum();
    let [refunded, amount] = ["refunded_amount", "amount"].map(|field| order[field].as_f64().unwrap_or_default());
    if refunded != sum || sum > amount {
        wrong.push(format!("{sum} was refunded, and it is {order}"));
    }
    wrong
}

fn requested(history: &History) -> BTreeMap<i64, Requested> {
    history.lock().refunds.clone()
}

async fn of_order(client: &Client, order_id: i64) -> Result<Vec<Value>> {
    let path = format!("/api/v1/orders/{order_id}/refunds?limit=1000");
    Ok(ok(client.order(Method::GET, &path)).await?.as_array().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refund(id: &str, amount: i64) -> Value {
        json!({"refund_id": id, "status": "SUCCEEDED", "amount": amount, "restock": true, "restocked": true})
    }

    fn keys(keys: &[(&str, Option<&str>)]) -> Requested {
        keys.iter().map(|(key, id)| ((*key).to_owned(), id.map(str::to_owned))).collect()
    }

    #[test]
    fn each_refund_that_was_answered_is_made_once_and_in_whole() {
        let order = json!({"amount": 200, "refunded_amount": 150});
        let (one, two) = (refund("one", 100), refund("two", 50));
        // The response to the second request was lost.
        let asked = keys(&[("a", Some("one")), ("b", None)]);
        assert_eq!(wrong(&asked, &[one.clone(), two.clone()], &order), Vec::<String>::new());
        let none = json!({"amount": 200});
        assert_eq!(wrong(&keys(&[("a", None)]), &[], &none), Vec::<String>::new());

        let with = |field: &str, value: Value| {
            let mut changed = two.clone();
            changed[field] = value;
            [one.clone(), changed]
        };
        let too_small = json!({"amount": 149, "refunded_amount": 150});
        for (keys, refunds, order) in [
            (&asked, with("status", "FAILED".into()), &order),
            (&asked, with("status", "REQUESTED".into()), &order),
            (&asked, with("restocked", false.into()), &order),
            (&asked, with("amount", 60.into()), &order),
            (&asked, with("refund_id", "one".into()), &order),
            (&asked, [one.clone(), two.clone()], &none),
            (&asked, [one.clone(), two.clone()], &too_small),
            (&keys(&[("a", Some("one"))]), [one.clone(), two.clone()], &order),
            (&keys(&[("a", Some("another")), ("b", None)]), [one.clone(), two.clone()], &order),
        ] {
            assert_eq!(wrong(keys, &refunds, order).len(), 1, "{keys:?}, {refunds:?}, {order}");
        }
    }
}
