use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::{
    end_state::{self, DEADLINE_S},
    faults::Fault,
    history::History,
    judge::{judge, longest},
    nemesis::Nemesis,
    report::Report,
    schedule::Schedule,
    setup::{TOKEN, clients, start},
    unanswered,
};
use testkit::{stack::Stack, usage};

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
/// A time without faults that is at least so long must see orders confirmed, in milliseconds.
const QUIET_MS: u64 = 4_000;

/// Something that the schedule does.
#[derive(Debug, Clone, Copy)]
enum Event {
    Begin(usize),
    End(usize),
}

/// Runs the schedule against servers and services of its own.
///
/// # Errors
/// If the run itself fails; what the system does wrong is in the report.
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
        destroying: BTreeSet::new(),
        active: Vec::new(),
        quiet: (0, 0),
        memory: BTreeMap::new(),
        confirmed_at: Vec::new(),
        ended: Vec::new(),
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
    let again = unanswered::ask_again(&end_state::clients(&mut stack)?, &history).await?;
    progress(format!("{again} orders whose placement got no answer were asked for by their keys"));
    settle(&mut stack, &history).await?;
    let settled_after = repaired.elapsed();
    // When they really were: what a server takes to start has made everything behind it later.
    let destroys = |index: &usize| schedule.faults[*index].kind.destroys() || run.destroying.contains(index);
    let destroying = run.done.iter().filter(|(index, _)| destroys(index));
    let destroyed: Vec<end_state::Destroyed> = destroying.map(|(_, span)| *span).collect();
    let ends = end_state::check(&mut stack, &history, &destroyed, TOKEN).await?;
    run.measure(&stack);
    let Run { done, quiet, memory, confirmed_at, ended, .. } = run;
    let mut report = Report {
        schedule: schedule.clone(),
        faults: longest(schedule, &done, &confirmed_at),
        operations: history.lock().counts.clone(),
        ends,
        quiet,
        settled_after,
        memory,
        took: begun.elapsed(),
        violations: ended,
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

struct Run<'a> {
    schedule: &'a Schedule,
    history: &'a History,
    nemesis: Nemesis,
    /// Which faults came about, and from when to when, in microseconds from the beginning of the run.
    done: BTreeMap<usize, (u64, u64)>,
    /// Faults that have destroyed messages although their kind need not.
    destroying: BTreeSet<usize>,
    active: Vec<usize>,
    quiet: (usize, usize),
    memory: BTreeMap<String, u64>,
    /// How many orders were confirmed, looked at now and then.
    confirmed_at: Vec<(u64, u64)>,
    /// The services that have ended by themselves, which none may.
    ended: Vec<String>,
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

    async fn wait(&mut self, stack: &mut Stack, due: tokio::time::Instant) {
        let is_quiet = self.active.is_empty()
            && due.saturating_duration_since(tokio::time::Instant::now()) > Duration::from_millis(QUIET_MS);
        let before = self.history.lock().confirmed;
        while tokio::time::Instant::now() < due {
            let step = tokio::time::Instant::now() + Duration::from_millis(200);
            sleep_until(step.min(due)).await;
            let confirmed = self.history.lock().confirmed;
            self.confirmed_at.push((self.history.now(), confirmed));
            self.restart_ended(stack);
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
        let lost = std::mem::take(&mut self.nemesis.lost_queues);
        if !lost.is_empty() {
            self.destroying.insert(index);
            (self.progress)(format!(
                "{fault:?} has damaged these queues, and RabbitMQ was started without data: {}",
                lost.join(", ")
            ));
        }
        if let Some((_, ended)) = self.done.get_mut(&index) {
            *ended = self.history.now();
        }
        Ok(())
    }

    /// Starts those again that have ended by themselves: what they do next is worth knowing, too.
    fn restart_ended(&mut self, stack: &mut Stack) {
        for replica in &mut stack.replicas {
            let Some(status) = replica.ended_by_itself() else { continue };
            let log = replica.log();
            let last = log.lines().next_back().unwrap_or("nothing");
            let ended = format!("{replica} has ended by itself ({status}); its log ends with: {last}");
            (self.progress)(ended.clone());
            self.ended.push(ended);
            if let Err(error) = replica.start() {
                (self.progress)(format!("{error:#}"));
            }
        }
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
            let orders = testkit::client::ok(client.order(reqwest::Method::GET, &path)).await?;
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
