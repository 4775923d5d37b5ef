//! Placements that got no response. Each may have created an order, which can be found by repeating the request with
//! its key.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use futures::{StreamExt as _, stream};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use super::{
    end_state::matches_request,
    history::{Cancel, History, Inner, Placed},
    wants::Wants,
};
use testkit::client::{Client, answer};

/// A placement that got no response, or a 503, and may nevertheless have been written.
#[derive(Debug, Clone)]
pub(crate) struct Unanswered {
    pub(crate) key: Option<String>,
    pub(crate) wants: Wants,
    /// When it was requested, in microseconds since the start of the run.
    pub(crate) began: u64,
}

/// Returns whether it is certain that a placement has written nothing, because it was not sent or the service reports
/// so.
pub(crate) fn nothing_was_written(response: &Result<(StatusCode, Value)>) -> bool {
    match response {
        Ok((StatusCode::SERVICE_UNAVAILABLE, problem)) => {
            problem["detail"].as_str().is_some_and(|detail| detail.contains("nothing was written"))
        }
        Ok(_) => false,
        Err(error) => error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect),
    }
}

/// How many requests are sent at the same time.
const AT_ONCE: usize = 8;
/// How long a request is retried, once everything is repaired.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// Repeats each placement that had a key and got no response, twice, at two replicas if there are two.
pub(crate) async fn repeat_unanswered(clients: &[Client], history: &History) -> Result<usize> {
    let mut before = HashSet::new();
    for order in clients[0].orders().await? {
        before.extend(order["order_id"].as_i64());
    }
    let asked = {
        let history = history.lock();
        // A placement that was answered later is already checked by its key.
        let open = |one: &&Unanswered| one.key.as_ref().is_some_and(|key| !history.by_key.contains_key(key));
        history.unanswered.iter().filter(open).cloned().collect::<Vec<_>>()
    };
    let count = asked.len();
    let answers = asked.into_iter().enumerate().map(async |(number, one)| {
        let began = history.now();
        let mut responses = Vec::new();
        for client in [&clients[number % clients.len()], &clients[(number + 1) % clients.len()]] {
            responses.push(place(client, &one).await);
        }
        let ended = history.now();
        history.lock().record_repeated(&one, &responses, &before, began, ended);
    });
    stream::iter(answers).buffer_unordered(AT_ONCE).collect::<()>().await;
    Ok(count)
}

async fn place(client: &Client, one: &Unanswered) -> Option<(StatusCode, Value)> {
    let end = Instant::now() + RETRY_TIMEOUT;
    loop {
        let body = one.wants.body(one.key.as_deref());
        let request = client.order(Method::POST, "/api/v1/orders").header("prefer", "respond-async").json(&body);
        let response = answer(request).await.ok();
        let is_open = response.as_ref().is_none_or(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE);
        if !is_open || Instant::now() > end {
            return response;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

impl Inner {
    /// Records the responses to a repeated placement. Both must return the same order, which no other placement
    /// returned. From then on, that order is checked like any other.
    fn record_repeated(
        &mut self,
        one: &Unanswered,
        responses: &[Option<(StatusCode, Value)>],
        before: &HashSet<i64>,
        began: u64,
        ended: u64,
    ) {
        let order_id = |response: &Option<(StatusCode, Value)>| {
            let (_, order) = response.as_ref().filter(|(status, _)| matches!(status.as_u16(), 200 | 202))?;
            order["order_id"].as_i64()
        };
        let named: Vec<Option<i64>> = responses.iter().map(order_id).collect();
        let Some(Some(order_id)) = named.first().copied().filter(|first| named.iter().all(|other| other == first))
        else {
            let about = named.iter().copied().flatten().next();
            return self.violation(about, format!("{one:?} was repeated and answered {responses:?}"));
        };
        for (_, order) in responses.iter().flatten() {
            self.order_read(order, began, ended);
        }
        // If the order did not exist before, the repeated request has created it.
        let began = if before.contains(&order_id) { one.began } else { began };
        let new = Placed { key: one.key.clone(), wants: one.wants, began, answered: ended, cancel: Cancel::No };
        if let Some(other) = self.placed.insert(order_id, new) {
            self.violation(Some(order_id), format!("it answers {one:?}, and was given to {other:?}"));
        }
        self.by_key.extend(one.key.clone().map(|key| (key, order_id)));
    }

    /// Checks the orders that no client got a response about: they must come from placements without a key that got no
    /// response. For each content, there must not be more orders than such placements.
    pub(crate) fn check_unknown_orders(&mut self, orders: &HashMap<i64, Value>) {
        let (mut made, mut unknown) = (BTreeMap::<Wants, Vec<i64>>::new(), Vec::new());
        for (order_id, order) in orders.iter().filter(|(order_id, _)| !self.placed.contains_key(order_id)) {
            match Wants::ALL.into_iter().find(|wants| matches_request(*wants, order)) {
                Some(wants) => made.entry(wants).or_default().push(*order_id),
                None => unknown.push((*order_id, format!("no client has requested it: {order}"))),
            }
        }
        unknown.into_iter().for_each(|(order_id, what)| self.violation(Some(order_id), what));
        for (wants, orders) in made {
            let without_key = |one: &&Unanswered| one.key.is_none() && one.wants == wants;
            let asked = self.unanswered.iter().filter(without_key).count();
            if orders.len() > asked {
                let what = format!("{asked} placements of {wants:?} without key got no answer, and made {orders:?}");
                self.violation(None, what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unanswered(key: Option<&str>) -> Unanswered {
        Unanswered { key: key.map(str::to_owned), wants: Wants::Plenty, began: 5 }
    }

    fn response(status: StatusCode, order_id: i64) -> Option<(StatusCode, Value)> {
        Some((status, order(order_id, Wants::Plenty)))
    }

    fn order(order_id: i64, wants: Wants) -> Value {
        let body = wants.body(None);
        let items = json!([{"item_sku": body["item_sku"], "quantity": body["quantity"]}]);
        json!({"order_id": order_id, "status": "PENDING", "items": items, "amount": body["amount"]})
    }

    #[tokio::test]
    async fn only_what_is_certain_counts_as_not_written() {
        let unavailable = |detail: &str| Ok((StatusCode::SERVICE_UNAVAILABLE, json!({"detail": detail})));
        assert!(nothing_was_written(&unavailable("too many orders are under way; nothing was written")));
        assert!(!nothing_was_written(&unavailable("the database is unavailable")));
        assert!(!nothing_was_written(&Ok((StatusCode::OK, json!({"detail": "nothing was written"})))));
        assert!(!nothing_was_written(&Err(anyhow::anyhow!("no answer"))));
        let unused_address = format!("http://127.0.0.1:{}/", test_servers::free_port().unwrap());
        assert!(nothing_was_written(&answer(reqwest::Client::new().get(unused_address)).await));
    }

    #[test]
    fn a_key_names_one_order_also_if_its_placement_got_no_answer() {
        let record = |responses: &[Option<(StatusCode, Value)>]| {
            let mut history = Inner::default();
            history.record_repeated(&unanswered(Some("key")), responses, &HashSet::from([7]), 100, 110);
            history
        };
        let made_before = record(&[response(StatusCode::OK, 7), response(StatusCode::ACCEPTED, 7)]);
        assert!(made_before.violations.is_empty(), "{:?}", made_before.violations);
        assert_eq!((made_before.placed[&7].began, made_before.by_key["key"]), (5, 7));
        let made_now = record(&[response(StatusCode::ACCEPTED, 8), response(StatusCode::ACCEPTED, 8)]);
        assert_eq!((made_now.placed[&8].began, made_now.violations.len()), (100, 0));

        for bad in [
            [response(StatusCode::OK, 7), response(StatusCode::OK, 8)],
            [response(StatusCode::OK, 7), response(StatusCode::UNPROCESSABLE_ENTITY, 7)],
            [response(StatusCode::OK, 7), None],
            [None, None],
        ] {
            assert_eq!(record(&bad).violations.len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn a_key_does_not_name_the_order_of_another() {
        let mut history = Inner::default();
        let other = Placed { key: None, wants: Wants::Plenty, began: 1, answered: 2, cancel: Cancel::No };
        history.placed.insert(7, other);
        let responses = [response(StatusCode::OK, 7), response(StatusCode::OK, 7)];
        history.record_repeated(&unanswered(Some("key")), &responses, &HashSet::from([7]), 100, 110);
        assert!(history.violations[0].what.contains("was given to"), "{:?}", history.violations);
    }

    #[test]
    fn an_order_without_a_response_was_requested_without_a_key() {
        let check = |unanswered: &[Unanswered], orders: &[(i64, Wants)]| {
            let mut history = Inner::default();
            history.unanswered = unanswered.to_vec();
            history.check_unknown_orders(&orders.iter().map(|(id, wants)| (*id, order(*id, *wants))).collect());
            history.violations.len()
        };
        let (plenty, hot) = (Wants::Plenty, Wants::Hot);
        assert_eq!(check(&[unanswered(None), unanswered(None)], &[(1, plenty), (2, plenty)]), 0);
        assert_eq!(check(&[unanswered(None)], &[(1, plenty), (2, plenty)]), 1, "one placement, two orders");
        assert_eq!(check(&[unanswered(Some("key"))], &[(1, plenty)]), 1, "the key has another order");
        assert_eq!(check(&[unanswered(None)], &[(1, hot)]), 1, "other content");
    }
}
