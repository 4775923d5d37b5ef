//! How the batch's inputs change refunds.

use std::collections::HashMap;

use saga_database::WorkingSet;
use saga_runtime::{Decision, ReplyTo};
use service_http::access::Owner;
use shared_events::{Event, EventBody, OrderId, RefundId, Timestamp};

use super::{Orders, State};
use crate::{
    commands::RefundReply,
    domain::{NewRefund, Order, Refund, RefundState, Transition, on_refund_event},
};

/// The refunds of the batch's orders, if one of its inputs is about a refund.
#[derive(Debug)]
pub(super) struct Refunds {
    pub(super) all: WorkingSet<RefundId, Refund>,
    of_order: HashMap<OrderId, Vec<RefundId>>,
}

impl Refunds {
    pub(super) fn loaded(refunds: Vec<Refund>) -> Self {
        let mut of_order: HashMap<OrderId, Vec<RefundId>> = HashMap::new();
        for refund in &refunds {
            of_order.entry(refund.order.order_id).or_default().push(refund.details.refund_id);
        }
        Self { all: WorkingSet::loaded(refunds.into_iter().map(|one| (one.details.refund_id, one))), of_order }
    }

    fn of(&self, order: OrderId) -> impl Iterator<Item = &Refund> + Clone {
        self.of_order.get(&order).into_iter().flatten().filter_map(|id| self.all.get(id))
    }

    fn put(&mut self, refund: Refund) {
        let (id, order) = (refund.details.refund_id, refund.order.order_id);
        if self.all.get(&id).is_none() {
            self.of_order.entry(order).or_default().push(id);
        }
        self.all.put(id, refund);
    }
}

impl Orders {
    pub(super) fn refund(
        &self,
        state: &mut State,
        new: &NewRefund,
        owner: Option<&Owner>,
        reply_to: &ReplyTo<RefundReply>,
        now: Timestamp,
    ) -> Decision<Self> {
        let visible = |order: &&Order| order.is_visible_to(owner.map(Owner::as_str));
        let Some(order) = state.orders.get(&new.order_id).filter(visible) else {
            return Decision::reply(reply_to.with(RefundReply::NotFound));
        };
        let same_key =
            |refund: &&Refund| new.idempotency_key.is_some() && refund.idempotency_key == new.idempotency_key;
        if let Some(refund) = state.refunds.of(new.order_id).find(same_key) {
            let same = refund.has_content_of(new);
            let reply = if same { RefundReply::Requested(refund.clone().into()) } else { RefundReply::KeyReused };
            return Decision::reply(reply_to.with(reply));
        }
        let now = state.time_of(new.order_id, now);
        match Refund::request(order, state.refunds.of(new.order_id), new.clone(), now, &self.cancel_policy) {
            Err(refusal) => Decision::reply(reply_to.with(RefundReply::Refused(refusal))),
            Ok((refund, requested)) => {
                state.refunds.put(refund.clone());
                Decision::publish(vec![requested]).replying(reply_to.with(RefundReply::Requested(refund.into())))
            }
        }
    }

    pub(super) fn wake_due_refunds(&self, state: &mut State, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        for id in std::mem::take(&mut state.due_refunds) {
            let due: Vec<Refund> = state.refunds.of(id).filter(|refund| refund.wake_at.is_some()).cloned().collect();
            for mut refund in due {
                if let Some(event) = refund.wake(now, &self.cancel_policy) {
                    events.push(event);
                    state.refunds.put(refund);
                }
            }
        }
        events
    }
}

impl State {
    /// Tells the refund what has happened to it. Returns what that changed, as text for the timeline.
    pub(super) fn learn_of_refund(&mut self, order: OrderId, body: &EventBody, now: Timestamp) -> String {
        let known = body.refund().and_then(|details| self.refunds.all.get(&details.refund_id));
        let Some(before) = known.filter(|refund| refund.order.order_id == order) else {
            tracing::warn!(order.id = order.0, event = %body.event_type(), "an event of an unknown refund");
            return String::new();
        };
        let Some(known_order) = self.orders.get(&order) else { return String::new() };
        let (changed, changed_order) = on_refund_event(known_order, before, body, now);
        let Some(after) = changed else { return String::new() };
        let mut changes = Vec::new();
        if before.state != after.state {
            self.ended_refunds.push(after.state);
            changes.push(match after.state {
                RefundState::Requested => "refund is requested",
                RefundState::Succeeded => "refund has succeeded",
                RefundState::Failed(_) => "refund has failed",
            });
        }
        if before.restocked != after.restocked {
            changes.push("goods are back in stock");
        }
        self.refunds.put(after);
        self.apply(order, Transition { order: changed_order, events: Vec::new() });
        changes.join(", ")
    }
}
