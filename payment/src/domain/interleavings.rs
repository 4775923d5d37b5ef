//! Every interleaving of the steps of one saga: two deliveries of `StockReserved`, up to two cancellations, the
//! concurrent calls to the gateway, and follow-ups that a crash loses.

use std::collections::HashSet;

use shared_events::{EventBody, Money, OrderId, SagaId, Timestamp};
use uuid::Uuid;

use super::{
    Answer, NewPayment, Payment, PaymentId, State, Transition, on_voided,
    transition::{cancel_requested, stock_reserved},
};

/// The progress of a call to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    NotStarted,
    /// It has not reached the gateway yet.
    InFlight,
    /// The gateway has processed it, and the answer is not handled yet.
    Answered,
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    row: Option<Payment>,
    authorizations: [Call; 2],
    cancels_left: u8,
    cancelled: bool,
    /// One by a cancellation and one by the timer: the maximum number of concurrent voids.
    voids: [Call; 2],
    /// Whether the gateway has answered a call with the key.
    key_is_known: bool,
    /// Whether the gateway has charged the customer.
    charged: bool,
    voided_published: bool,
}

impl World {
    fn new(cancels_left: u8) -> Self {
        Self {
            row: None,
            authorizations: [Call::NotStarted; 2],
            cancels_left,
            cancelled: false,
            voids: [Call::Done; 2],
            key_is_known: false,
            charged: false,
            voided_published: false,
        }
    }

    /// Returns the state after each possible step.
    fn next(&self, answer: &Answer) -> Vec<Self> {
        let mut worlds = Vec::new();
        let mut step = |step: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            step(&mut world);
            worlds.push(world);
        };
        for index in 0..2 {
            match self.authorizations[index] {
                Call::NotStarted => step(&|world| world.authorizations[index] = Call::InFlight),
                Call::InFlight => step(&|world| {
                    world.authorizations[index] = Call::Answered;
                    // The first call charges, even after a void; a repeated call only gets the answer.
                    world.charged |= !world.key_is_known && matches!(answer, Answer::Authorized { .. });
                    world.key_is_known = true;
                }),
                Call::Answered => step(&|world| {
                    world.authorizations[index] = Call::Done;
                    world.apply(stock_reserved(world.row.as_ref(), NEW(), answer, Timestamp::default()), 0);
                }),
                Call::Done => {}
            }
            match self.voids[index] {
                Call::InFlight => step(&|world| {
                    world.voids[index] = Call::Answered;
                    world.charged = false;
                }),
                Call::Answered => step(&|world| {
                    world.voids[index] = Call::Done;
                    world.apply(on_voided(world.row.as_ref(), Timestamp::default()), 0);
                }),
                Call::NotStarted | Call::Done => {}
            }
            // A crash: the service forgets the void. (An authorization is repeated with its message.)
            step(&|world| world.voids[index] = Call::Done);
        }
        if self.cancels_left > 0 {
            step(&|world| {
                world.cancels_left -= 1;
                world.cancelled = true;
                world.apply(cancel_requested(world.row.as_ref(), NEW(), Timestamp::default()), 0);
            });
        }
        // The timer.
        if self.state() == Some(&State::Voiding) && self.voids[1] == Call::Done {
            step(&|world| world.voids[1] = Call::InFlight);
        }
        worlds
    }

    fn apply(&mut self, transition: Transition, void: usize) {
        self.row = transition.payment.or_else(|| self.row.take());
        match transition.event {
            Some(EventBody::PaymentAuthorized) => {
                assert!(self.charged && !self.cancelled, "PaymentAuthorized must not be published: {self:?}");
            }
            Some(EventBody::PaymentVoided) => self.voided_published = true,
            _ => {}
        }
        if transition.void && self.voids[void] == Call::Done {
            self.voids[void] = Call::InFlight;
        }
    }

    fn state(&self) -> Option<&State> {
        self.row.as_ref().map(|payment| &payment.state)
    }

    /// Returns whether nothing is in progress and the timer has nothing to do.
    fn is_quiet(&self) -> bool {
        let done = |calls: [Call; 2]| calls == [Call::Done; 2];
        let nothing_to_void = self.state() != Some(&State::Voiding);
        done(self.authorizations) && self.cancels_left == 0 && done(self.voids) && nothing_to_void
    }
}

const NEW: fn() -> NewPayment = || NewPayment {
    payment_id: PaymentId(1),
    saga_id: Some(SagaId(Uuid::from_u128(7))),
    order_id: OrderId(1),
    amount: Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap(),
};

/// Returns all reachable states.
fn reachable(cancels: u8, answer: &Answer) -> HashSet<World> {
    let mut seen = HashSet::from([World::new(cancels)]);
    let mut to_do: Vec<World> = seen.iter().cloned().collect();
    while let Some(world) = to_do.pop() {
        for next in world.next(answer) {
            if seen.insert(next.clone()) {
                to_do.push(next);
            }
        }
    }
    seen
}

#[test]
fn in_every_interleaving_the_gateway_charges_only_for_an_authorized_payment() {
    let yes = Answer::Authorized { reference: "ref".to_owned() };
    let no = Answer::Declined { reason: "too much".to_owned() };
    for (cancels, answer) in [(0, &yes), (1, &yes), (2, &yes), (0, &no), (1, &no), (2, &no)] {
        let all = reachable(cancels, answer);
        let quiet: Vec<&World> = all.iter().filter(|world| world.is_quiet()).collect();
        assert!(!quiet.is_empty());
        for world in quiet {
            assert_eq!(world.charged, world.state() == Some(&State::Authorized), "{world:?}");
            assert_eq!(world.charged, cancels == 0 && *answer == yes, "{world:?}");
            if cancels > 0 {
                let again = cancel_requested(world.row.as_ref(), NEW(), Timestamp::default());
                assert_eq!(again.event, Some(EventBody::PaymentVoided), "{world:?}");
            }
        }
        for world in all {
            assert!(!(world.charged && world.state() == Some(&State::Voided)), "{world:?}");
            // `PaymentVoided` comes too early only if the cancellation arrived before there was anything to void.
            let to_be_voided = matches!(world.state(), Some(State::Cancelled | State::Voiding));
            assert!(!(world.charged && world.voided_published) || to_be_voided, "{world:?}");
        }
    }
}
