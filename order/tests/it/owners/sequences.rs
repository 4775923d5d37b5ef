//! Random sequences of requests of two owners and an admin, checked against the model.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use reqwest::{Method, RequestBuilder};
use rstest::rstest;
use serde_json::{Value, json};
use testkit::service::{
    Answer,
    DatabaseKind::{self, Postgres, Sqlite},
    HttpClient, TestKey, answer,
};
use tokio::runtime::Handle;

use super::{
    CUSTOMER,
    model::{ADMIN, CALLERS, Filters, Model, Placed, Placing, refusal},
};
use crate::{
    harness::{Harness, Plan, example},
    stream::Watcher,
};

/// How many sequences are tried on each database.
const SEQUENCES: u32 = 12;
/// How often there are callers for a sequence: each run needs its own, also those that make a failing one shorter.
const RUNS: usize = 60;

/// One request. A target is a number of an order of the sequence, whoever placed it, or a guess.
#[derive(Debug, Clone)]
enum Step {
    Place { caller: usize, key: Option<u8>, quantity: i64 },
    Cancel { caller: usize, target: usize },
    Show { caller: usize, target: usize },
    Timeline { caller: usize, target: usize },
    List { caller: usize, list: List },
}

#[derive(Debug, Clone)]
struct List {
    cursor: Option<usize>,
    before: bool,
    descending: bool,
    limit: usize,
    owner: Option<usize>,
    cancelled: Option<bool>,
    key: Option<u8>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (caller, target) = (0..CALLERS, 0..1_000_usize);
    let list = (
        prop::option::of(target.clone()),
        any::<bool>(),
        any::<bool>(),
        1..4_usize,
        prop::option::weighted(0.3, 0..CALLERS),
        prop::option::weighted(0.3, any::<bool>()),
        prop::option::weighted(0.3, 0..3_u8),
    );
    let list = list.prop_map(|(cursor, before, descending, limit, owner, cancelled, key)| List {
        cursor,
        before,
        descending,
        limit,
        owner,
        cancelled,
        key,
    });
    let place = (caller.clone(), prop::option::weighted(0.7, 0..3_u8), 1..3_i64);
    let step = prop_oneof![
        4 => place.prop_map(|(caller, key, quantity)| Step::Place { caller, key, quantity }),
        2 => (caller.clone(), target.clone()).prop_map(|(caller, target)| Step::Cancel { caller, target }),
        1 => (caller.clone(), target.clone()).prop_map(|(caller, target)| Step::Show { caller, target }),
        1 => (caller.clone(), target).prop_map(|(caller, target)| Step::Timeline { caller, target }),
        2 => (caller, list).prop_map(|(caller, list)| Step::List { caller, list }),
    ];
    prop::collection::vec(step, 1..40)
}

/// The callers of one sequence, and what they may see.
struct Sequence<'a> {
    callers: &'a [(String, HttpClient); CALLERS],
    model: Model,
    /// An id below those of the sequence.
    start: i64,
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_owner_sees_cancels_or_replays_what_is_anothers(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let owners =
        (0..RUNS).flat_map(|run| [("a", CUSTOMER), ("b", CUSTOMER), ("operator", "admin")].map(|one| (run, one)));
    let owners = owners.map(|(run, (name, scopes))| (format!("{name}-{run}"), scopes));
    let owners: Vec<_> = owners.map(|(owner, scopes)| (TestKey::new(&owner, scopes), owner)).collect();
    let keys: Vec<_> = owners.iter().map(|(key, _)| key.clone()).collect();
    let harness = Harness::start_with_keys(database, Plan::default(), &keys).await;
    let next_run = AtomicUsize::new(0);
    let config = Config { cases: SEQUENCES, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    let run = |steps: Vec<Step>| {
        let run = next_run.fetch_add(1, Ordering::SeqCst);
        let caller = |(key, owner): &(TestKey, String)| (owner.clone(), harness.service.http.with_key(key.text()));
        if let Some([a, b, operator]) = owners.chunks(CALLERS).nth(run) {
            Handle::current().block_on(run_sequence(&[a, b, operator].map(caller), steps));
        }
        Ok(())
    };
    tokio::task::block_in_place(|| TestRunner::new(config).run(&steps(), run)).unwrap();
    harness.finish().await;
}

async fn run_sequence(callers: &[(String, HttpClient); CALLERS], steps: Vec<Step>) {
    let newest = callers[ADMIN].1.get("/api/v1/orders?order=desc&limit=1").await.body;
    let start = newest[0]["order_id"].as_i64().unwrap_or_default();
    let mut sequence = Sequence { callers, model: Model::default(), start };
    let mut streams = Vec::new();
    for caller in 0..CALLERS {
        streams.push(Watcher::of(sequence.request(caller, Method::GET, "/stream")).await);
    }
    for step in steps {
        match step {
            Step::Place { caller, key, quantity } => sequence.place(caller, key, quantity).await,
            Step::Cancel { caller, target } => sequence.cancel(caller, target).await,
            Step::Show { caller, target } => sequence.show(caller, target).await,
            Step::Timeline { caller, target } => sequence.timeline(caller, target).await,
            Step::List { caller, list } => sequence.list(caller, &list).await,
        }
    }
    sequence.check_streams(streams).await;
}

impl Sequence<'_> {
    fn request(&self, caller: usize, method: Method, path: &str) -> RequestBuilder {
        self.callers[caller].1.request(method, &format!("/api/v1/orders{path}"))
    }

    fn target(&self, target: usize) -> i64 {
        let newest = self.model.orders.last().map_or(self.start, |order| order.id);
        let guesses = [newest + 1, newest + 1_000, i64::MAX, 0, -1];
        let all: Vec<i64> = self.model.orders.iter().map(|order| order.id).chain(guesses).collect();
        all[target % all.len()]
    }

    async fn place(&mut self, caller: usize, key: Option<u8>, quantity: i64) {
        let mut body = example();
        body["quantity"] = json!(quantity);
        body["idempotency_key"] = json!(key.map(|key| format!("key-{key}")));
        let request = self.request(caller, Method::POST, "").header("prefer", "respond-async");
        let answer = answer(request.json(&body)).await;
        let id = answer.body["order_id"].as_i64();
        match self.model.placing(caller, key, quantity) {
            Placing::Refused => assert_eq!((answer.status, id), (422, None), "{answer:?}"),
            Placing::Replayed(order) => assert_eq!((answer.status, id), (202, Some(order)), "{answer:?}"),
            Placing::New => {
                assert_eq!((answer.status, &answer.body["version"]), (202, &json!(1)), "{answer:?}");
                assert_eq!(answer.body["owner"], self.callers[caller].0.as_str());
                let id = id.unwrap();
                self.model.placed(Placed { id, owner: caller, key, quantity, cancelled: false });
            }
        }
    }

    /// Asserts that the response is about this order if the caller may see it, and otherwise the same as for an order
    /// that does not exist. Returns the order if it is visible.
    async fn check(&self, caller: usize, id: i64, method: Method, action: &str) -> Option<Answer> {
        let of = async |id: i64| answer(self.request(caller, method.clone(), &format!("/{id}{action}"))).await;
        let (answer, visible) = (of(id).await, self.model.visible(caller, id));
        if visible.is_some() {
            assert!([200, 202].contains(&answer.status), "{answer:?}");
            return Some(answer);
        }
        let unknown = of(i64::MIN).await;
        assert_eq!(unknown.status, 404);
        assert_eq!(refusal(answer), refusal(unknown));
        None
    }

    async fn cancel(&mut self, caller: usize, target: usize) {
        let id = self.target(target);
        if let Some(answer) = self.check(caller, id, Method::POST, "/cancel").await {
            assert_eq!((&answer.body["order_id"], &answer.body["status"]), (&json!(id), &json!("COMPENSATING")));
            self.model.cancelled(id);
        }
    }

    async fn show(&self, caller: usize, target: usize) {
        let id = self.target(target);
        if let Some(answer) = self.check(caller, id, Method::GET, "").await {
            let order = self.model.visible(caller, id).unwrap();
            let status = if order.cancelled { "COMPENSATING" } else { "PENDING" };
            let shown = ["order_id", "quantity", "status", "owner"].map(|field| answer.body[field].clone());
            let owner = self.callers[order.owner].0.as_str();
            assert_eq!(shown, [json!(id), json!(order.quantity), json!(status), json!(owner)]);
        }
    }

    async fn timeline(&self, caller: usize, target: usize) {
        let id = self.target(target);
        if let Some(answer) = self.check(caller, id, Method::GET, "/events").await {
            let of_order = |event: &Value| event["data"]["order_id"] == id;
            let events = answer.body.as_array().unwrap();
            assert!(!events.is_empty() && events.iter().all(of_order), "{events:?}");
        }
    }

    async fn list(&self, caller: usize, list: &List) {
        let owner = list.owner.map(|owner| format!("&owner={}", self.callers[owner].0)).unwrap_or_default();
        let status = match list.cancelled {
            None => "",
            Some(true) => "&status=COMPENSATING",
            Some(false) => "&status=PENDING",
        };
        let key = list.key.map(|key| format!("&idempotency_key=key-{key}")).unwrap_or_default();
        // An admin sees the orders of earlier sequences, too, and reads from where this one begins.
        let (before, descending) = (list.before && caller != ADMIN, list.descending && caller != ADMIN);
        let cursor = list.cursor.map(|target| self.target(target));
        let cursor = if caller == ADMIN { Some(cursor.unwrap_or_default().max(self.start)) } else { cursor };
        let direction = if descending { "&order=desc" } else { "" };
        let at = cursor.map(|id| format!("&{}={id}", if before { "before" } else { "after" })).unwrap_or_default();
        // With `before`, the pages lead to the beginning of the list.
        let ascending_ids = descending == (before && cursor.is_some());
        let between = match cursor {
            None => (i64::MIN, i64::MAX),
            Some(id) if ascending_ids => (id, i64::MAX),
            Some(id) => (i64::MIN, id),
        };
        let filters = Filters { owner: list.owner, cancelled: list.cancelled, key: list.key, between };
        let mut expected = self.model.list(caller, &filters);
        if !ascending_ids {
            expected.reverse();
        }
        let mut listed = Vec::new();
        let mut next = Some(format!("/api/v1/orders?limit={}{owner}{status}{key}{direction}{at}", list.limit));
        while let Some(path) = next {
            let page = self.callers[caller].1.get(&path).await;
            assert_eq!(page.status, 200, "{page:?}");
            let mut ids: Vec<i64> =
                page.body.as_array().unwrap().iter().map(|order| order["order_id"].as_i64().unwrap()).collect();
            if before && cursor.is_some() {
                ids.reverse();
            }
            listed.append(&mut ids);
            next = page.header("link").map(|link| link[1..link.find('>').unwrap()].to_owned());
        }
        assert_eq!(listed, expected, "caller {caller}: {list:?}");
    }

    /// Reads the streams up to an order that each caller places last. Also a stream that begins where another caller's
    /// began has what its own caller may see, and nothing else.
    async fn check_streams(&mut self, streams: Vec<Watcher>) {
        for caller in 0..CALLERS {
            self.place(caller, None, 1).await;
        }
        let mut first_ids = Vec::new();
        for (caller, mut stream) in streams.into_iter().enumerate() {
            first_ids.push(self.check_stream(caller, &mut stream).await);
        }
        for caller in 0..CALLERS {
            let anothers = &first_ids[(caller + 1) % CALLERS];
            let request = self.request(caller, Method::GET, "/stream").header("last-event-id", anothers);
            self.check_stream(caller, &mut Watcher::of(request).await).await;
        }
    }

    /// Returns the id with which the stream began, if it has one.
    async fn check_stream(&self, caller: usize, stream: &mut Watcher) -> String {
        let mut first_id = String::new();
        for expected in self.model.stream(caller) {
            let (name, order) = stream.next().await.unwrap();
            assert_eq!(name, "order", "caller {caller}: {order}");
            let number = |field: &str| order[field].as_i64().unwrap();
            assert_eq!((number("order_id"), number("version")), expected, "caller {caller}");
            if first_id.is_empty() {
                first_id = stream.first.clone().unwrap_or_default();
            }
        }
        first_id
    }
}
