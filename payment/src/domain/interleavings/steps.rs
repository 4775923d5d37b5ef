//! What may happen next.

use super::*;

impl World {
    /// Returns the state after each possible step.
    pub(super) fn next(&self) -> Vec<Self> {
        let mut worlds = Vec::new();
        let mut step = |step: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            step(&mut world);
            worlds.push(world);
        };
        if self.deliveries_left > 0 {
            step(&|world| {
                world.deliveries_left -= 1;
                world.event(EventBody::StockReserved);
            });
        }
        if self.cancels_left > 0 && !self.is_confirmed {
            step(&|world| {
                world.cancels_left -= 1;
                world.confirmations_left = 0;
                world.event(CANCEL);
            });
        }
        if self.confirmations_left > 0 && self.authorized_published {
            step(&|world| {
                world.confirmations_left -= 1;
                world.is_confirmed = true;
                world.event(EventBody::OrderConfirmed);
            });
        }
        // Order refunds only what it has confirmed; its `OrderConfirmed` may still be under way.
        let may_be_refunded = self.authorized_published && self.cancels_left == 0 && !self.voided_published;
        for (&id, _) in self.refunds_left.iter().filter(|(_, left)| may_be_refunded && **left > 0) {
            step(&|world| {
                world.refunds_left.entry(id).and_modify(|left| *left -= 1);
                world.event(EventBody::RefundRequested { refund: refund(id) });
            });
        }
        for &id in self.refunded.keys().filter(|_| self.reversals_left > 0) {
            step(&|world| {
                world.reversals_left -= 1;
                world.refunded.remove(&id);
                world.reversed.insert(id);
                world.webhooks.insert(id);
            });
        }
        for &id in &self.webhooks {
            step(&|world| world.webhook(id));
            step(&|world| {
                world.webhooks.remove(&id);
                world.webhook(id);
            });
        }
        if self.may_expire && self.is_charged() {
            step(&|world| {
                world.may_expire = false;
                let all = world.gateway.values_mut();
                all.filter(|state| **state == AtGateway::Charged).for_each(|state| *state = AtGateway::Expired);
            });
        }
        if self.may_forget && self.key.is_some() {
            step(&|world| {
                world.may_forget = false;
                world.key = None;
            });
        }
        if let Some(call) = &self.late {
            step(&|world| {
                world.late = None;
                world.act(call);
            });
        }
        for (index, asker) in self.askers.iter().enumerate() {
            match asker {
                Asker::Idle => {
                    if let Some(call) = self.call() {
                        step(&|world| world.askers[index] = Asker::InFlight(call.clone()));
                    }
                }
                Asker::InFlight(call) => {
                    step(&|world| world.askers[index] = Asker::Answered(world.act(call)));
                    if self.losses_left > 0 && self.late.is_none() {
                        step(&|world| {
                            world.losses_left -= 1;
                            world.askers[index] = Asker::Idle;
                            world.late = Some(call.clone());
                        });
                    }
                }
                Asker::Answered(answer) => {
                    step(&|world| {
                        world.askers[index] = Asker::Idle;
                        let Some(row) = &world.row else { return };
                        let transition = on_answer(row, answer, at(0));
                        world.apply(transition);
                    });
                    if self.losses_left > 0 {
                        step(&|world| {
                            world.losses_left -= 1;
                            world.askers[index] = Asker::Idle;
                        });
                    }
                }
            }
        }
        worlds
    }

    /// Returns the call that is to be made.
    pub(super) fn call(&self) -> Option<Call> {
        let row = self.row.as_ref()?;
        Some((row.step()?, row.reference.clone()))
    }

    pub(super) fn event(&mut self, body: EventBody) {
        let transition = on_event(self.row.as_ref(), &event(body), PaymentId(1), at(0)).unwrap();
        self.apply(transition);
    }

    /// A webhook says that this refund has failed after it was accepted.
    pub(super) fn webhook(&mut self, id: RefundId) {
        let transition = refund_reversed(self.row.as_ref().unwrap(), id, "failed", at(0));
        self.apply(transition);
    }
}
