use std::{sync::Arc, time::Duration};

use saga_database::{Database, trim_inbox};
use saga_message::framing;
use sea_orm::DbBackend;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    Mailbox, Participant,
    aside::Aside,
    batch::{Batch, Item},
    external_calls::ExternalCalls,
    held_back::HeldBack,
};
use crate::{
    identity::SystemIdentity, metrics::EngineMetrics, readiness::Readiness, relay::Outbox, shutdown::ShutdownStages,
    trace::MessageSpans,
};

/// Settings of the engine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Maximum number of inputs in one transaction. A message is never divided, so there may be up to 127 more.
    pub max_batch: usize,
    /// Maximum number of events in one published message; 128 at most.
    pub max_events: usize,
    /// Maximum number of commands that wait or are being handled; further ones are refused.
    pub max_waiting: usize,
    /// The time between two ticks of the clock.
    pub tick: Duration,
    /// How long messages that can wait ([`Route::can_wait_at`](saga_message::Route::can_wait_at)) are held back.
    pub hold_back_for: Duration,
    /// Maximum number of messages that are held back; less than the prefetch, to which they count.
    pub max_held_back: usize,
    /// How long a handled message stays in the inbox. A duplicate that arrives later is handled again, so the
    /// participant itself should recognize it.
    pub inbox_retention: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            max_batch: 512,
            max_events: framing::MAX_EVENTS,
            max_waiting: 4_096,
            tick: Duration::from_secs(1),
            hold_back_for: Duration::from_millis(20),
            max_held_back: 64,
            inbox_retention: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The only writer of a service's database: it takes items from the mailbox, commits them in batches, and answers those
/// who wait.
pub struct Engine<P: Participant> {
    pub(super) participant: Arc<P>,
    pub(super) database: Database,
    pub(super) outbox: Arc<Outbox>,
    pub(super) readiness: Readiness,
    pub(super) identity: Arc<SystemIdentity>,
    pub(super) settings: EngineSettings,
    pub(super) mailbox: Mailbox<P>,
    pub(super) items: mpsc::UnboundedReceiver<Item<P>>,
    /// What was received while the database was unavailable. It is handled before the content of the mailbox.
    pub(super) postponed: Vec<Item<P>>,
    pub(super) aside: Aside<P>,
    /// How many inputs were put aside or refused because of a lock since the start.
    pub(super) locked_out: u64,
    /// How many inputs the last batch had, without those that could wait.
    last_batch: usize,
    held_back: HeldBack<P>,
    pub(super) stop: ShutdownStages,
    external_calls: ExternalCalls<P>,
    pub(super) metrics: EngineMetrics,
    pub(super) spans: MessageSpans,
}

/// How long a busy engine waits for more inputs: docs/adr/0013.
const LINGER: Duration = Duration::from_millis(1);
/// From this number of inputs on, the engine does not wait.
const LINGER_BELOW: usize = 64;

/// Time limit for each query of a tick. Ticks query the database even if there is nothing else to do, so they detect
/// that the network to the database has failed.
const TICK_QUERY_TIMEOUT: Duration = Duration::from_secs(20);

fn count_inputs<P: Participant>(items: &[Item<P>]) -> usize {
    items.iter().map(Item::inputs).sum()
}

impl<P: Participant> Engine<P> {
    /// Returns an engine, and the mailbox that it takes its inputs from.
    #[must_use]
    pub fn new(
        participant: P,
        database: Database,
        outbox: Arc<Outbox>,
        readiness: Readiness,
        identity: Arc<SystemIdentity>,
        settings: EngineSettings,
        stop: ShutdownStages,
    ) -> (Self, Mailbox<P>) {
        let clock = database.clock().clone();
        let (mailbox, items) = Mailbox::new(settings.max_waiting, Arc::clone(&identity), clock);
        let participant = Arc::new(participant);
        let external_calls = ExternalCalls::new(Arc::clone(&participant), mailbox.clone(), stop.work.clone());
        let held_back = HeldBack::new(participant.service().name, &settings);
        let engine = Self {
            participant,
            database,
            outbox,
            readiness,
            identity,
            settings,
            mailbox: mailbox.clone(),
            items,
            postponed: Vec::new(),
            aside: Aside::new(),
            locked_out: 0,
            last_batch: 0,
            held_back,
            stop,
            external_calls,
            metrics: EngineMetrics::default(),
            spans: MessageSpans::default(),
        };
        (engine, mailbox)
    }

    /// Records the engine's metrics in `metrics`.
    #[must_use]
    pub fn with_metrics(self, metrics: EngineMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Starts spans with `spans`.
    #[must_use]
    pub(crate) fn with_spans(self, spans: MessageSpans) -> Self {
        Self { spans, ..self }
    }

    /// Works until `stop.work`, then handles what is left in the mailbox, and ends.
    pub async fn run(mut self) {
        self.readiness.set("database", Ok(()));
        let mut ticks = interval(self.settings.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut items = Vec::with_capacity(self.settings.max_batch);
        let work = self.stop.work.clone();
        loop {
            let aside = self.aside.due();
            tokio::select! {
                () = self.receive(&mut items) => self.step(&mut items).await,
                () = sleep_until(aside.unwrap_or_else(Instant::now)), if aside.is_some() => self.try_aside().await,
                _ = ticks.tick(), if !self.stop.intake.is_cancelled() => self.tick().await,
                () = work.cancelled() => break,
            }
        }
        while !(self.postponed.is_empty() && self.items.is_empty() && self.held_back.until().is_none()) {
            self.receive(&mut items).await;
            self.step(&mut items).await;
        }
        // What was put aside was not committed, so the broker delivers it again. From now on commands are refused with
        // "the service is stopping".
        self.items.close();
        self.external_calls.end().await;
    }

    /// Receives what is available, at most one batch of it; waits if there is nothing, or nothing that cannot wait.
    async fn receive(&mut self, items: &mut Vec<Item<P>>) {
        if !self.postponed.is_empty() {
            let mut inputs = 0;
            let fits = |item: &&Item<P>| {
                let is_first = inputs == 0;
                inputs += item.inputs();
                is_first || inputs <= self.settings.max_batch
            };
            let count = self.postponed.iter().take_while(fits).count();
            items.extend(self.postponed.drain(..count));
        }
        while items.is_empty() {
            let held_until = self.held_back.until();
            tokio::select! {
                item = self.items.recv() => items.extend(item),
                () = sleep_until(held_until.unwrap_or_else(Instant::now)), if held_until.is_some() => {}
            }
            self.receive_more(items);
            self.held_back.exchange(items);
        }
    }

    /// Receives what is available now, up to one batch with what is held back.
    fn receive_more(&mut self, items: &mut Vec<Item<P>>) {
        let mut inputs = count_inputs(items) + self.held_back.inputs();
        while inputs < self.settings.max_batch
            && let Ok(item) = self.items.try_recv()
        {
            inputs += item.inputs();
            items.push(item);
        }
    }

    /// Handles these items, and returns when they are committed and answered.
    async fn step(&mut self, items: &mut Vec<Item<P>>) {
        self.linger(items).await;
        self.last_batch = items.iter().filter(|item| !self.held_back.can_hold_back(item)).map(Item::inputs).sum();
        let mut batch = Batch::of(items.drain(..));
        if self.spans.is_on() {
            let inputs = batch.inputs.iter_mut().flat_map(|pending| &mut pending.inputs);
            inputs.for_each(|input| input.start_span(&self.spans));
        }
        batch.inputs = self.external_calls.ready(batch.inputs).await;
        if !batch.is_empty() {
            self.handle(batch).await;
        }
    }

    /// If the engine is busy, waits briefly for more inputs: a batch on a server has a fixed cost, however small it is.
    /// If inputs come one at a time, it does not wait, nor if there is a message with several events, whose publisher
    /// has waited already. (On SQLite a batch costs less than the wait.)
    async fn linger(&mut self, items: &mut Vec<Item<P>>) {
        let alone = self.last_batch <= 1;
        if alone
            || items.iter().any(|item| item.inputs() > 1)
            || count_inputs(items) >= LINGER_BELOW
            || !self.postponed.is_empty()
            || self.database.backend() == DbBackend::Sqlite
        {
            return;
        }
        tokio::time::sleep(LINGER).await;
        let before = items.len();
        self.receive_more(items);
        let mut more = items.split_off(before);
        self.held_back.exchange(&mut more);
        items.append(&mut more);
    }

    async fn tick(&self) {
        if let Some(command) = self.participant.on_tick() {
            self.mailbox.tell(command);
        }
        if let Err(error) = self.database.with_timeout(TICK_QUERY_TIMEOUT, self.database.compare_clock()).await {
            tracing::debug!(%error, "the clock was not compared with the database's this time; the next tick does it");
            // The other queries would wait for the same database, and the engine with them.
            return;
        }
        // The inbox may be one of the locked tables, and trimming it can wait.
        if self.aside.is_empty() {
            let forget_before = self.database.clock().now().before(self.settings.inbox_retention);
            let trimmed = self.database.with_timeout(TICK_QUERY_TIMEOUT, trim_inbox(&self.database, forget_before));
            if let Err(error) = trimmed.await {
                tracing::debug!(%error, "the inbox was not trimmed this time");
            }
        }
        if let Err(error) = self.database.with_timeout(TICK_QUERY_TIMEOUT, self.identity.check(&self.database)).await {
            tracing::debug!(%error, "the database's system id was not read this time");
        }
        self.identity.report();
    }
}
