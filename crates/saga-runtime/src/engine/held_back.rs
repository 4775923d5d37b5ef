use std::time::Duration;

use tokio::time::Instant;

use super::{EngineSettings, Participant, batch::Item};

/// The messages that nobody waits for ([`Participant::can_wait`]). They are held back until there is a message that
/// somebody waits for. A caller's command is not delayed by them.
pub(super) struct HeldBack<P: Participant> {
    items: Vec<Item<P>>,
    /// How many inputs they have.
    inputs: usize,
    /// Until when they are held back; `None` if there are none.
    until: Option<Instant>,
    patience: Duration,
    /// With this many messages or this many inputs, they are not held back any longer.
    enough: (usize, usize),
}

impl<P: Participant> HeldBack<P> {
    pub(super) fn new(settings: &EngineSettings) -> Self {
        let enough = (settings.max_held_back, settings.max_batch.div_ceil(2));
        Self { items: Vec::new(), inputs: 0, until: None, patience: settings.patience, enough }
    }

    /// Returns how many inputs are held back.
    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Returns until when they are held back; `None` if there are none.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Takes what can wait out of `received`; or puts in front of it what is not to be held back any longer.
    pub(super) fn exchange(&mut self, received: &mut Vec<Item<P>>, participant: &P) {
        let now = Instant::now();
        let is_awaited = |item: &Item<P>| item.is_message() && !item.can_wait(participant);
        let is_over = received.iter().any(is_awaited) || self.until.is_some_and(|until| until <= now);
        self.items.extend(received.extract_if(.., |item| is_over || item.can_wait(participant)));
        self.inputs = self.items.iter().map(Item::inputs).sum();
        let (messages, inputs) = self.enough;
        if is_over || self.items.len() >= messages || self.inputs >= inputs {
            self.items.append(received);
            std::mem::swap(&mut self.items, received);
            (self.inputs, self.until) = (0, None);
        } else if !self.items.is_empty() {
            self.until.get_or_insert(now + self.patience);
        }
    }
}
