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
    refunds,
    report::Report,
    schedule::Schedule,
    setup::{TOKEN, clients, start},
    unanswered,
};
use testkit::{stack::Stack, usage};

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of clients.
    pub clients: usize,
    /// Maximum duration of the load, even if faults are left.
    pub at_most: Duration,
}

/// How long an order may take to end after the last repair: its deadline and the compensation that follows it.
const SETTLED: Duration = Duration::from_secs(DEADLINE_S + 120);
/// In a fault-free period of at least this length, in milliseconds, orders must be confirmed.
const QUIET_MS: u64 = 4_000;

/// A step of the schedule.
#[derive(Debug, Clone, Copy)]
enum Event {
    Begin(usize),
    End(usize),
}

/// Runs the schedule against its own servers and services.
///
/// # Errors
/// If the run itself fails. Errors of the system under test are in the report.
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
        ended: Vec::new(),
        progress,
    };
    let started = Instant::now();
    run.all(&mut stack, started + settings.at_most).await?;
    progress("all faults are repaired; waiting for every order to end".to_owned());
    stack.start_all()?;
    stack.ready().await?;
    let repaired = Instant::now();
    stop.cancel();
    while let Some(client) = load.join_next().await {
        client?;
    }
    let repeated = unanswered::repeat_unanswered(&end_state::clients(&mut stack)?, &history).await?;
    progress(format!("{repeated} placements that got no response were repeated with their keys"));
    settle(&mut stack, &history).await?;
    let settled_after = repaired.elapsed();
    // The actual times: slow starts of servers have delayed the schedule.
    let destroys = |index: &usize| schedule.faults[*index].kind.destroys() || run.destroying.contains(index);
    let destroying = run.done.iter().filter(|(index, _)| destroys(index));
    let destroyed: Vec<end_state::Destroyed> = destroying.map(|(_, span)| *span).collect();
    let ends = end_state::check(&mut stack, &history, &destroyed, TOKEN).await?;
    run.measure(&stack);
    let Run { done, quiet, memory, ended, .. } = run;
    let (faults, operations) = {
        let history = history.lock();
        (longest(schedule, &done, &history.confirmed), history.counts.clone())
    };
    let mut report = Report {
        schedule: schedule.clone(),
        faults,
        operations,
        ends,
        quiet,
        settled_after,
        memory,
        took: started.elapsed(),
        violations: ended,
    };
    judge(&mut report, &stack, &history);
    if report.violations.is_empty() {
        stack.passed();
    }
    Ok(report)
}

/// Removes parts of a schedule as long as the rest still fails, until `time` is over.
///
/// # Errors
/// The same as those of [`torture`].
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
    /// The faults that were caused, with their begin and end in microseconds since the start of the run.
    done: BTreeMap<usize, (u64, u64)>,
    /// Faults that have destroyed messages although their kind usually does not.
    destroying: BTreeSet<usize>,
    active: Vec<usize>,
    quiet: (usize, usize),
    memory: BTreeMap<String, u64>,
    /// Errors about services that have ended by themselves, which is never allowed.
    ended: Vec<String>,
    progress: &'a dyn Fn(String),
}

impl Run<'_> {
    /// Executes the schedule, and repairs what is active at the end.
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
        let started = tokio::time::Instant::now();
        // The time that a server takes to start delays everything that follows.
        let mut late = Duration::ZERO;
        for (at, event) in events {
            let due = started + Duration::from_millis(at) + late;
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
        // A fault-free period for all orders that have not ended.
        self.wait(stack, tokio::time::Instant::now() + Duration::from_millis(QUIET_MS + 1_000)).await;
        Ok(())
    }

    async fn wait(&mut self, stack: &mut Stack, due: tokio::time::Instant) {
        let is_quiet = self.active.is_empty()
            && due.saturating_duration_since(tokio::time::Instant::now()) > Duration::from_millis(QUIET_MS);
        let before = self.history.lock().confirmed.len();
        while tokio::time::Instant::now() < due {
            let step = tokio::time::Instant::now() + Duration::from_millis(200);
            sleep_until(step.min(due)).await;
            self.restart_ended(stack);
        }
        self.measure(stack);
        if is_quiet {
            self.quiet.0 += 1;
            if self.history.lock().confirmed.len() == before {
                self.quiet.1 += 1;
                (self.progress)("no order was confirmed although there was no fault".to_owned());
            }
        }
    }

    async fn begin(&mut self, stack: &mut Stack, index: usize) {
        let fault = &self.schedule.faults[index];
        let began = self.history.now();
        let caused = self.nemesis.begin(stack, fault).await;
        let (answered, confirmed) = {
            let history = self.history.lock();
            (history.placed.len(), history.confirmed.len())
        };
        let outcome = match caused {
            Ok(()) => {
                self.done.insert(index, (began, self.history.now()));
                self.active.push(index);
                String::new()
            }
            Err(error) => format!("; NOT DONE: {error:#}"),
        };
        let Fault { kind, target, lasts_ms, .. } = fault;
        (self.progress)(format!(
            "{:>7.1} s  {:>4}/{}  {kind:<17} {:<12} {:>4.1} s; {answered} orders answered, \
             {confirmed} confirmed{outcome}",
            began as f64 / 1e6,
            index + 1,
            self.schedule.faults.len(),
            target.to_string(),
            *lasts_ms as f64 / 1e3,
        ));
    }

    async fn end(&mut self, stack: &mut Stack, index: usize) -> Result<()> {
        let Some(position) = self.active.iter().position(|active| *active == index) else { return Ok(()) };
        self.active.remove(position);
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
        for node in std::mem::take(&mut self.nemesis.hung_nodes) {
            (self.progress)(format!("{node} did not come back by itself after {}, and was restarted", fault.kind));
        }
        if let Some((_, ended)) = self.done.get_mut(&index) {
            *ended = self.history.now();
        }
        Ok(())
    }

    /// Restarts replicas that have ended by themselves, because their further behaviour is of interest too.
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

/// Waits until all known orders have ended and no stock is held.
async fn settle(stack: &mut Stack, history: &History) -> Result<()> {
    let client = stack.client(0)?;
    let end = Instant::now() + SETTLED;
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        ticks.tick().await;
        let mut open = Vec::new();
        for status in ["PENDING", "COMPENSATING"] {
            let path = format!("/api/v1/orders/?limit=1000&status={status}");
            let orders = testkit::client::ok(client.order(reqwest::Method::GET, &path)).await?;
            open.extend(orders.as_array().into_iter().flatten().filter_map(|order| order["order_id"].as_i64()));
        }
        // If the last event of an order was destroyed, its stock is held until the inventory asks about it.
        if open.is_empty() && !end_state::stock_is_held(&client).await? && refunds::have_ended(&client, history).await?
        {
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
