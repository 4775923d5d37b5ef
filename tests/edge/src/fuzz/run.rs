//! Sends the requests, in batches, and checks what they leave behind.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use testkit::{
    client::{Client, answer, ok},
    process::Program,
};
use tokio::{sync::Mutex, task::JoinSet};

use super::{
    check::{check, is_refusal},
    connection::{Connection, Response},
    document::Document,
    request::{FuzzRequest, Generator, Kind},
    state::{Stores, difference},
};

/// What is fuzzed.
#[derive(Debug)]
pub struct System {
    /// A client of the three services, which may place and stock everything.
    pub client: Client,
    /// Their databases.
    pub stores: Stores,
    /// What may be used at `/admin`.
    pub admin_token: String,
    /// The API keys that requests have. Without any, the services are open.
    pub api_keys: Vec<String>,
}

impl System {
    /// Makes API keys for the services on `data_dir`, so that they are closed from then on: of the administrator, of
    /// two customers, and keys that allow less.
    ///
    /// # Errors
    /// If one is not made, or the services stay open.
    pub async fn close(&mut self, program: &Program, data_dir: &Path) -> Result<()> {
        const WRITE: [&str; 4] = ["orders:read", "orders:write", "stock:write", "payments:write"];
        const READ: [&str; 3] = ["orders:read", "stock:read", "payments:read"];
        let owners: [(&str, &[&str]); 5] = [
            ("operator", &["admin"]),
            ("shop-a", &WRITE),
            ("shop-b", &WRITE),
            ("shop-a", &READ),
            ("m", &["metrics:read"]),
        ];
        for (owner, scopes) in owners {
            self.api_keys.push(program.create_key(data_dir, owner, scopes)?);
        }
        self.client = Client::with_key(self.client.addresses, &self.api_keys[0])?;
        let open = Client::new(self.client.addresses)?;
        for (request, path) in [
            (Client::order as fn(&Client, Method, &str) -> RequestBuilder, "orders"),
            (Client::inventory, "stock"),
            (Client::payment, "payments"),
        ] {
            let status = || async { Ok(answer(request(&open, Method::GET, &format!("/api/v1/{path}"))).await?.0) };
            open.until("a service that needs a key", status, |status| *status == 401).await?;
        }
        Ok(())
    }

    /// Returns the valid values of `Authorization`.
    fn credentials(&self) -> Vec<String> {
        std::iter::once(&self.admin_token).chain(&self.api_keys).map(|one| format!("Bearer {one}")).collect()
    }
}

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Which requests.
    pub seed: u64,
    /// The number of the first request.
    pub first: u64,
    /// How many requests. The refused ones are sent again, which does not count.
    pub requests: u64,
    /// After how many requests the state is checked.
    pub batch: u64,
    /// How many requests are sent at the same time.
    pub connections: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Requests that were sent, without repetitions.
    pub requests: u64,
    /// Refused requests that were sent again, to see that they write nothing.
    pub repeated: u64,
    /// Responses by status, without those to repetitions.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests of arbitrary bytes that got no response.
    pub unanswered: u64,
    /// The longest time until a request was answered.
    pub longest: Duration,
    /// What is wrong.
    pub violations: Vec<String>,
}

/// What a request led to.
struct Outcome {
    request: FuzzRequest,
    statuses: Vec<u16>,
    violation: Option<String>,
    took: Duration,
}

/// The SKU of the normal order; no request names it.
const NORMAL: &str = "NORMAL-ORDER";
/// So many violations are enough.
const MOST_VIOLATIONS: usize = 20;

/// Sends the requests of `plan`, and calls `progress` after each batch.
///
/// # Errors
/// If the system cannot be checked, because it does not answer or does not come to rest.
pub async fn run(system: &System, plan: Plan, mut progress: impl FnMut(&Summary)) -> Result<Summary> {
    let generator = Arc::new(generator(system, plan.seed).await?);
    let mut summary = Summary::default();
    normal(system).await?;
    let end = plan.first + plan.requests;
    let mut first = plan.first;
    while first < end && summary.violations.len() < MOST_VIOLATIONS {
        let next = (first + plan.batch).min(end);
        let requests = (first..next).map(|number| generator.request(number)).collect();
        let outcomes = send(system, &generator, requests, plan.connections).await?;
        summary.add(&outcomes);
        let mut refused: Vec<_> =
            outcomes.into_iter().filter(Outcome::refused).map(|outcome| outcome.request).collect();
        // These take as long as the service's time limits.
        refused.retain(|request| request.kind != Kind::Silent);
        refused.sort_by_key(|request| request.number);
        normal(system).await.with_context(|| format!("after the requests {first} to {next}"))?;
        writes_nothing(system, &generator, plan, refused, &mut summary).await?;
        progress(&summary);
        first = next;
    }
    Ok(summary)
}

/// Creates the generator for the documents that the services have.
///
/// # Errors
/// If they have none.
pub async fn generator(system: &System, seed: u64) -> Result<Generator> {
    let mut documents = Vec::new();
    for request in [Client::order, Client::inventory, Client::payment] {
        documents.push(Document::new(ok(request(&system.client, Method::GET, "/openapi.json")).await?)?);
    }
    Ok(Generator::new(seed, documents, system.credentials()))
}

/// Sends requests over a number of connections, and returns what they led to, in any order.
async fn send(
    system: &System,
    generator: &Arc<Generator>,
    requests: Vec<FuzzRequest>,
    connections: usize,
) -> Result<Vec<Outcome>> {
    let requests = Arc::new(Mutex::new(requests.into_iter()));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (requests, generator) = (Arc::clone(&requests), Arc::clone(generator));
        let mut open = system.client.addresses.map(Connection::new);
        tasks.spawn(async move {
            let mut outcomes = Vec::new();
            loop {
                let Some(request) = requests.lock().await.next() else { return outcomes };
                let started = Instant::now();
                let responses = open[request.service].send(&request).await;
                outcomes.push(Outcome::new(&generator, request, responses, started.elapsed()));
            }
        });
    }
    let mut all = Vec::new();
    while let Some(outcomes) = tasks.join_next().await {
        all.extend(outcomes?);
    }
    Ok(all)
}

/// Sends the refused requests again, and checks that nothing is written. One that is accepted now, because what it
/// names exists meanwhile, is left out, and the rest is sent once more.
async fn writes_nothing(
    system: &System,
    generator: &Arc<Generator>,
    plan: Plan,
    refused: Vec<FuzzRequest>,
    summary: &mut Summary,
) -> Result<()> {
    let mut before = system.stores.settled().await?;
    // Parts that are to be sent: all of them, and when something was written, each half.
    let (mut parts, mut unexplained) = (vec![refused], None);
    while let Some(part) = parts.pop() {
        let mut outcomes = send(system, generator, part, plan.connections).await?;
        outcomes.sort_by_key(|outcome| outcome.request.number);
        summary.repeated += outcomes.len() as u64;
        summary.violations.extend(outcomes.iter().filter_map(|outcome| outcome.violation.clone()));
        let after = system.stores.settled().await?;
        let written = (after != before).then(|| difference(&before, &after));
        before = after;
        let Some(written) = written else { continue };
        let count = outcomes.len();
        let accepted = |outcome: &Outcome| !outcome.refused() && outcome.request.may_write();
        let accepts = outcomes.iter().any(accepted);
        let rest: Vec<_> = outcomes.into_iter().filter(Outcome::refused).map(|outcome| outcome.request).collect();
        if accepts && !rest.is_empty() {
            parts.push(rest);
        } else if let ([request], 1) = (&rest[..], count) {
            summary.violations.push(format!("seed {}: refused, and {written}: {request:?}", plan.seed));
            unexplained = None;
        } else if !accepts {
            let (first, second) = rest.split_at(rest.len() / 2);
            parts.extend([first, second].into_iter().filter(|part| !part.is_empty()).map(<[_]>::to_vec));
            unexplained = Some(format!("seed {}: {count} requests were refused, and {written}", plan.seed));
        }
    }
    summary.violations.extend(unexplained);
    Ok(())
}

/// Checks that the services are ready, and that a normal order is confirmed.
async fn normal(system: &System) -> Result<()> {
    let conditions = json!({"latency_ms": 0, "failure_rate": 0});
    let gateway = system.client.payment(Method::PUT, "/admin/gateway").bearer_auth(&system.admin_token);
    ok(gateway.json(&conditions)).await.context("the gateway's conditions")?;
    for request in [Client::order, Client::inventory, Client::payment] {
        let (status, report) = answer(request(&system.client, Method::GET, "/health/ready")).await?;
        ensure!(status == 200, "not ready: {report}");
    }
    system.client.put_in_stock(NORMAL, 10).await?;
    let body = json!({"item_sku": NORMAL, "quantity": 1, "amount": 1, "currency": "USD"});
    let request = system.client.order(Method::POST, "/api/v1/orders").header("prefer", "wait=60").json(&body);
    let order = ok(request).await.context("a normal order")?;
    ensure!(order["status"] == "CONFIRMED", "a normal order is not confirmed: {order}");
    Ok(())
}

impl Outcome {
    fn new(generator: &Generator, request: FuzzRequest, sent: Result<Vec<Response>>, took: Duration) -> Self {
        let (statuses, wrong) = match sent {
            Ok(responses) => {
                let wrong = check(generator, &request, &responses).err();
                (responses.iter().map(|response| response.status).collect(), wrong)
            }
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        let violation = wrong.map(|why| format!("seed {}: {why}\n  {request:?}", generator.seed()));
        Self { request, statuses, violation, took }
    }

    fn refused(&self) -> bool {
        !self.statuses.is_empty() && self.statuses.iter().all(|status| is_refusal(*status))
    }
}

impl Summary {
    fn add(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.requests += 1;
            self.unanswered += u64::from(outcome.statuses.is_empty());
            self.longest = self.longest.max(outcome.took);
            for status in &outcome.statuses {
                *self.statuses.entry(*status).or_default() += 1;
            }
            self.violations.extend(outcome.violation.clone());
        }
    }
}
