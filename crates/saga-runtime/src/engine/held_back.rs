use tokio::time::Instant;

use super::{EngineSettings, Participant, batch::Item};

/// The messages that can wait ([`Route::can_wait_at`](saga_message::Route::can_wait_at)). They are held back until
/// there is a message that cannot, to share its transaction, or until a limit of the [`EngineSettings`] is reached.
/// Commands do not end that, because a longer transaction would delay the sagas that they begin.
pub(super) struct HeldBack<P: Participant> {
    /// The service that handles them.
    service: &'static str,
    settings: EngineSettings,
    items: Vec<Item<P>>,
    /// Until when they are held back; `None` if there are none.
    until: Option<Instant>,
}

impl<P: Participant> HeldBack<P> {
    pub(super) fn new(service: &'static str, settings: &EngineSettings) -> Self {
        Self { service, settings: settings.clone(), items: Vec::new(), until: None }
    }

    /// Returns whether this item may be held back.
    pub(super) fn can_hold_back(&self, item: &Item<P>) -> bool {
        item.can_wait_at(self.service)
    }

    /// Returns how many inputs are held back.
    pub(super) fn inputs(&self) -> usize {
        self.items.iter().map(Item::inputs).sum()
    }

    /// Returns until when they are held back; `None` if there are none.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Takes what can wait out of `received`; or puts in front of it what is not to be held back any longer.
    pub(super) fn exchange(&mut self, received: &mut Vec<Item<P>>) {
        let (now, service) = (Instant::now(), self.service);
        let is_urgent = |item: &Item<P>| item.is_message() && !item.can_wait_at(service);
        let is_over = received.iter().any(is_urgent) || self.until.is_some_and(|until| until <= now);
        self.items.extend(received.extract_if(.., |item| is_over || item.can_wait_at(service)));
        let EngineSettings { max_held_back, max_batch, hold_back_for, .. } = self.settings;
        if is_over || self.items.len() >= max_held_back || self.inputs() >= max_batch.div_ceil(2) {
            self.items.append(received);
            std::mem::swap(&mut self.items, received);
            self.until = None;
        } else if !self.items.is_empty() {
            self.until.get_or_insert(now + hold_back_for);
        }
    }
}
