use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use shared_events::Service;
use tokio::{task::JoinSet, time::sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    end_state::{self, DEADLINE_S},
    faults::{Fault, Kind},
    history::History,
    load::{Addresses, Client, HOT, MORE, PLENTY, SCARCE, SET},
    nemesis::{Nemesis, PASSWORD, ROLE, record, set_password},
    random::Random,
    report::Report,
    schedule::Schedule,
    streams,
};
use crate::{
    stack::{Options, Stack},
    usage,
};

/// How a run is done.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many clients there are.
    pub clients: usize,
    /// When the load ends although not all faults have been.
    pub at_most: Duration,
}

/// How long an order may take to end after the last fault is repaired: its deadline, and what follows from it.
const SETTLED: Duration = Duration::from_secs(DEADLINE_S + 120);
/// More memory than this is too much for a service under any fault, in bytes.
const MOST_MEMORY: u64 = 256 * 1024 * 1024;
/// A time without faults that is at least so long must see orders confirmed, in milliseconds.
const QUIET_MS: u64 = 4_000;
const TOKEN: &str = "the-token-of-the-torture-run";

/// Something that the schedule does.
#[derive(Debug, Clone, Copy)]
enum Event {
    Begin(usize),
    End(usize),
}

/// Runs the schedule against servers and services of its own.
///
/// # Errors
/// Where the run itself fails; what the system does wrong is in the report.
pub async fn torture(settings: &Settings, schedule: &Schedule, progress: &dyn Fn(String)) -> Result<Report> {
    let mut stack = start(schedule, progress).await?;
    let history = Arc::new(History::new());
    let stop = CancellationToken::new();
    let mut load = clients(settings, schedule, &stack, &history, &stop)?;
    let mut run = Run {
        schedule,
        history: &history,
        nemesis: Nemesis::default(),
        done: BTreeMap::new(),
        active: Vec::new(),
        quiet: (0, 0),
        memory: BTreeMap::new(),
        confirmed_at: Vec::new(),
        progress,
    };
    let begun = Instant::now();
    run.all(&mut stack, begun + settings.at_most).await?;
    progress("all faults are repaired; waiting for every order to end".to_owned());
    stack.start_all()?;
    stack.ready().await?;
    let repaired = Instant::now();
    stop.cancel();
    while let Some(client) = load.join_next().await {
        client?;
    }
    settle(&mut stack, &history).await?;
    let settled_after = repaired.elapsed();
    let ends = end_state::check(&mut stack, &history, schedule, TOKEN).await?;
    run.measure(&stack);
    let Run { done, quiet, memory, confirmed_at, .. } = run;
    let mut report = Report {
        schedule: schedule.clone(),
        faults: longest(schedule, &done, &confirmed_at),
        operations: history.lock().counts.clone(),
        ends,
        quiet,
        settled_after,
        memory,
        took: begun.elapsed(),
        violations: Vec::new(),
    };
    judge(&mut report, &stack, &history);
    if report.violations.is_empty() {
        stack.passed();
    }
    Ok(report)
}

/// Leaves out parts of a schedule for as long as what is left still fails, and until `time` is over.
///
/// # Errors
/// As [`torture`].
pub async fn shrink(
    settings: &Settings,
    schedule: &Schedule,
    time: Duration,
    progress: &dyn Fn(String),
) -> Result<Schedule> {
    let (end, mut smallest) = (Instant::now() + time, schedule.clone());
    let mut size = smallest.faults.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < smallest.faults.len() && smallest.faults.len() > 1 {
            if Instant::now() > end {
                return Ok(smallest);
            }
            let fewer = smallest.without(from, from + size);
            progress(format!("trying {} of {} faults", fewer.faults.len(), smallest.faults.len()));
            if torture(settings, &fewer, &|_| {}).await.is_ok_and(|report| !report.violations.is_empty()) {
                smallest = fewer;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    Ok(smallest)
}

async fn start(schedule: &Schedule, progress: &dyn Fn(String)) -> Result<Stack> {
    let deadline = format!("--order-deadline={DEADLINE_S}s");
    let order = ["--order-wait=1s", &deadline, "--cancel-repeat=2s", "--cancel-repeat-longest=5s"];
    let hold_time = format!("--hold-time={}s", DEADLINE_S + 20);
    let mut options = Options { replicas: schedule.replicas, proxied: true, ..Options::default() };
    options = options.with(Service::Order, &order).with(Service::Inventory, &[&hold_time]);
    for service in Service::ALL {
        options = options.with(service, &[&format!("--admin-token={TOKEN}")]);
    }
    progress("starting PostgreSQL, RabbitMQ and the services".to_owned());
    let mut stack = Stack::servers(&format!("torture-{}", schedule.seed), options).await?;
    let role = format!("CREATE ROLE {ROLE} LOGIN SUPERUSER");
    tokio::task::block_in_place(|| stack.postgres.psql("postgres", &role))?;
    set_password(&stack, PASSWORD)?;
    for replica in &mut stack.replicas {
        for (name, value) in &mut replica.settings.variables {
            if name == "DATABASE_URL" {
                let (_, place) = value.split_once('@').context("it is an address")?;
                *value = format!("postgres://{ROLE}:{PASSWORD}@{place}");
            }
        }
    }
    // In any order, and while nobody has made anything at the broker yet.
    let mut random = Random::new(schedule.seed);
    let mut waiting: Vec<usize> = (0..stack.replicas.len()).collect();
    while !waiting.is_empty() {
        let index = usize::try_from(random.next() % waiting.len() as u64)?;
        stack.replicas[waiting.remove(index)].start()?;
    }
    stack.ready().await?;
    record(&stack.administrator()?).await?;
    let client = stack.client(0)?;
    for (sku, quantity) in [(PLENTY, 10_000_000), (MORE, 10_000_000), (HOT, 500), (SCARCE, 3), (SET, 1)] {
        client.put_in_stock(sku, quantity).await?;
    }
    Ok(stack)
}

fn clients(
    settings: &Settings,
    schedule: &Schedule,
    stack: &Stack,
    history: &Arc<History>,
    stop: &CancellationToken,
) -> Result<JoinSet<()>> {
    let of = |service| stack.replicas.iter().filter(move |one| one.service == service).map(|one| one.address).collect();
    let addresses = Addresses { order: of(Service::Order), inventory: of(Service::Inventory) };
    let mut load = JoinSet::new();
    for (number, &address) in addresses.order.iter().enumerate() {
        load.spawn(streams::watch(number, address, Arc::clone(history), stop.clone()));
    }
    for number in 0..settings.clients {
        let client = Client::new(number, schedule.seed, addresses.clone(), Arc::clone(history))?;
        load.spawn(client.run(stop.clone()));
    }
    Ok(load)
}

struct Run<'a> {
    schedule: &'a Schedule,
    history: &'a History,
    nemesis: Nemesis,
    /// Which faults came about, and from when to when, in microseconds from the beginning of the run.
    done: BTreeMap<usize, (u64, u64)>,
    active: Vec<usize>,
    quiet: (usize, usize),
    memory: BTreeMap<String, u64>,
    /// How many orders were confirmed, looked at now and then.
    confirmed_at: Vec<(u64, u64)>,
    progress: &'a dyn Fn(String),
}

impl Run<'_> {
    /// Does all that is scheduled, and repairs what is active at the end.
    async fn all(&mut self, stack: &mut Stack, until: Instant) -> Result<()> {
        let faults = &self.schedule.faults;
        let mut events: Vec<(u64, Event)> = faults
            .iter()
            .enumerate()
            .flat_map(|(index, fault)| {
                [(fault.at_ms, Event::Begin(index)), (fault.at_ms + fault.lasts_ms, Event::End(index))]
            })
            .collect();
        events.sort_by_key(|(at, _)| *at);
        let begun = tokio::time::Instant::now();
        // What a server takes to start comes on top: all that follows is later by as much.
        let mut late = Duration::ZERO;
        for (at, event) in events {
            let due = begun + Duration::from_millis(at) + late;
            if due > until.into() && matches!(event, Event::Begin(_)) {
                break;
            }
            self.wait(stack, due).await;
            match event {
                Event::Begin(index) => self.begin(stack, index).await,
                Event::End(index) => self.end(stack, index).await?,
            }
            late += due.elapsed().saturating_sub(Duration::from_millis(50));
        }
        for index in self.active.clone() {
            self.end(stack, index).await?;
        }
        // Some time without faults for all that is under way.
        self.wait(stack, tokio::time::Instant::now() + Duration::from_millis(QUIET_MS + 1_000)).await;
        Ok(())
    }

    async fn wait(&mut self, stack: &Stack, due: tokio::time::Instant) {
        let is_quiet = self.active.is_empty()
            && due.saturating_duration_since(tokio::time::Instant::now()) > Duration::from_millis(QUIET_MS);
        let before = self.history.lock().confirmed;
        while tokio::time::Instant::now() < due {
            let step = tokio::time::Instant::now() + Duration::from_millis(200);
            sleep_until(step.min(due)).await;
            let confirmed = self.history.lock().confirmed;
            self.confirmed_at.push((self.history.now(), confirmed));
        }
        self.measure(stack);
        if is_quiet {
            self.quiet.0 += 1;
            if self.history.lock().confirmed == before {
                self.quiet.1 += 1;
                (self.progress)("no order was confirmed although there was no fault".to_owned());
            }
        }
    }

    async fn begin(&mut self, stack: &mut Stack, index: usize) {
        let fault = &self.schedule.faults[index];
        let began = self.history.now();
        let brought_about = self.nemesis.begin(stack, fault).await;
        let (answered, confirmed) = {
            let history = self.history.lock();
            (history.placed.len(), history.confirmed)
        };
        let outcome = match brought_about {
            Ok(()) => {
                self.done.insert(index, (began, self.history.now()));
                self.active.push(index);
                String::new()
            }
            Err(error) => format!("; NOT DONE: {error:#}"),
        };
        let Fault { kind, target, lasts_ms, .. } = fault;
        (self.progress)(format!(
            "{:>7.1} s  {:>4}/{}  {kind:<17} {:<12} {:>4.1} s; {answered} orders answered, {confirmed} confirmed{outcome}",
            began as f64 / 1e6,
            index + 1,
            self.schedule.faults.len(),
            target.to_string(),
            *lasts_ms as f64 / 1e3,
        ));
    }

    async fn end(&mut self, stack: &mut Stack, index: usize) -> Result<()> {
        let Some(place) = self.active.iter().position(|active| *active == index) else { return Ok(()) };
        self.active.remove(place);
        let fault = &self.schedule.faults[index];
        self.nemesis.end(stack, fault).await.with_context(|| format!("cannot repair {fault:?}"))?;
        if let Some((_, ended)) = self.done.get_mut(&index) {
            *ended = self.history.now();
        }
        Ok(())
    }

    fn measure(&mut self, stack: &Stack) {
        for replica in &stack.replicas {
            let peak = replica.id().and_then(usage::peak_memory).unwrap_or_default();
            let most = self.memory.entry(replica.service.name().to_owned()).or_default();
            *most = peak.max(*most);
        }
    }
}

/// Waits until every order that is known has ended.
async fn settle(stack: &mut Stack, history: &History) -> Result<()> {
    let client = stack.client(0)?;
    let end = Instant::now() + SETTLED;
    let mut looks = tokio::time::interval(Duration::from_millis(500));
    loop {
        looks.tick().await;
        let mut open = Vec::new();
        for status in ["PENDING", "COMPENSATING"] {
            let path = format!("/api/v1/orders/?limit=1000&status={status}");
            let orders = crate::client::ok(client.order(reqwest::Method::GET, &path)).await?;
            open.extend(orders.as_array().into_iter().flatten().filter_map(|order| order["order_id"].as_i64()));
        }
        if open.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            for order_id in open {
                history.lock().violation(Some(order_id), format!("it has not ended {SETTLED:?} after the last repair"));
            }
            return Ok(());
        }
    }
}

/// How often each kind came about, and the longest time without a newly confirmed order around one.
fn longest(
    schedule: &Schedule,
    done: &BTreeMap<usize, (u64, u64)>,
    confirmed_at: &[(u64, u64)],
) -> BTreeMap<Kind, (usize, Duration)> {
    let mut found: BTreeMap<Kind, (usize, Duration)> = BTreeMap::new();
    for (index, (began, ended)) in done {
        let (mut since, mut confirmed, mut most) = (*began, None, 0);
        for (at, count) in confirmed_at.iter().filter(|(at, _)| (*began..=ended + 5_000_000).contains(at)) {
            if confirmed != Some(*count) {
                (since, confirmed) = (*at, Some(*count));
            }
            most = most.max(at - since);
        }
        let (count, longest) = found.entry(schedule.faults[*index].kind).or_default();
        *count += 1;
        *longest = (*longest).max(Duration::from_micros(most));
    }
    found
}

/// Puts the violations into the report, each with what is known about it.
fn judge(report: &mut Report, stack: &Stack, history: &History) {
    let history = history.lock();
    for violation in &history.violations {
        let mut about = String::new();
        if let Some(order_id) = violation.order_id {
            for operation in history.operations(order_id) {
                let (began, ended) = (operation.began as f64 / 1e6, operation.ended as f64 / 1e6);
                let _ = writeln!(
                    about,
                    "    {began:>8.3} to {ended:>8.3} s  {}: {} -> {}",
                    operation.who, operation.what, operation.told
                );
            }
            let words = [format!("\"order.id\":\"{order_id}\""), format!("\"order.id\":{order_id},")];
            for replica in &stack.replicas {
                let log = replica.log();
                let lines = log.lines().filter(|line| words.iter().any(|word| line.contains(word.as_str())));
                lines.take(20).for_each(|line| {
                    let _ = writeln!(about, "    {}: {line}", replica.service);
                });
            }
        }
        report.violated(violation, about);
    }
    for (service, bytes) in &report.memory {
        if *bytes > MOST_MEMORY {
            report.violations.push(format!("{service} used {} MiB of memory", bytes / 1024 / 1024));
        }
    }
    if !report.ends.contains_key("CONFIRMED") {
        report.violations.push("no order was confirmed at all".to_owned());
    }
    let (quiet, without) = report.quiet;
    if quiet >= 4 && without * 2 > quiet {
        report.violations.push(format!("in {without} of {quiet} times without faults no order was confirmed"));
    }
}
