//! Every way in which the steps of one saga can lie between each other: two deliveries of `StockReserved`, up to two
//! cancellations, the calls of the gateway under way beside all that, and follow-ups lost in a crash.

use std::collections::HashSet;

use shared_events::{EventBody, Money, OrderId, SagaId, Timestamp};
use uuid::Uuid;

use super::{
    Answer, NewPayment, Payment, PaymentId, State, Transition, on_voided,
    transition::{cancel_requested, stock_reserved},
};

/// How far a question to the gateway has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    NotAsked,
    /// It has not reached the gateway yet.
    OnItsWay,
    /// The gateway has done it; the answer has not been decided on yet.
    Answered,
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    row: Option<Payment>,
    authorizations: [Call; 2],
    cancels_to_come: u8,
    cancelled: bool,
    /// One by a cancellation, one by the clock: as many as may be under way at once.
    voids: [Call; 2],
    /// Whether the gateway has answered the key before, and whether it has the customer's money.
    key_is_known: bool,
    charged: bool,
    voided_said: bool,
}

impl World {
    fn new(cancels_to_come: u8) -> Self {
        Self {
            row: None,
            authorizations: [Call::NotAsked; 2],
            cancels_to_come,
            cancelled: false,
            voids: [Call::Over; 2],
            key_is_known: false,
            charged: false,
            voided_said: false,
        }
    }

    /// Every step that may be the next.
    fn next(&self, answer: &Answer) -> Vec<Self> {
        let mut worlds = Vec::new();
        let mut step = |step: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            step(&mut world);
            worlds.push(world);
        };
        for index in 0..2 {
            match self.authorizations[index] {
                Call::NotAsked => step(&|world| world.authorizations[index] = Call::OnItsWay),
                Call::OnItsWay => step(&|world| {
                    world.authorizations[index] = Call::Answered;
                    // The first question charges, whatever was voided before; a repetition is only answered.
                    world.charged |= !world.key_is_known && matches!(answer, Answer::Authorized { .. });
                    world.key_is_known = true;
                }),
                Call::Answered => step(&|world| {
                    world.authorizations[index] = Call::Over;
                    world.apply(stock_reserved(world.row.as_ref(), NEW(), answer, Timestamp::default()), 0);
                }),
                Call::Over => {}
            }
            match self.voids[index] {
                Call::OnItsWay => step(&|world| {
                    world.voids[index] = Call::Answered;
                    world.charged = false;
                }),
                Call::Answered => step(&|world| {
                    world.voids[index] = Call::Over;
                    world.apply(on_voided(world.row.as_ref(), Timestamp::default()), 0);
                }),
                Call::NotAsked | Call::Over => {}
            }
            // A crash: the service forgets what it was external_calls. (The authorizations come again with their messages.)
            step(&|world| world.voids[index] = Call::Over);
        }
        if self.cancels_to_come > 0 {
            step(&|world| {
                world.cancels_to_come -= 1;
                world.cancelled = true;
                world.apply(cancel_requested(world.row.as_ref(), NEW(), Timestamp::default()), 0);
            });
        }
        // The clock.
        if self.state() == Some(&State::Voiding) && self.voids[1] == Call::Over {
            step(&|world| world.voids[1] = Call::OnItsWay);
        }
        worlds
    }

    fn apply(&mut self, transition: Transition, void: usize) {
        self.row = transition.payment.or_else(|| self.row.take());
        match transition.event {
            Some(EventBody::PaymentAuthorized) => {
                assert!(self.charged && !self.cancelled, "it is said to be authorized: {self:?}");
            }
            Some(EventBody::PaymentVoided) => self.voided_said = true,
            _ => {}
        }
        if transition.void && self.voids[void] == Call::Over {
            self.voids[void] = Call::OnItsWay;
        }
    }

    fn state(&self) -> Option<&State> {
        self.row.as_ref().map(|payment| &payment.state)
    }

    /// Whether nothing is under way, and the clock finds nothing to do.
    fn is_quiet(&self) -> bool {
        let over = |calls: [Call; 2]| calls == [Call::Over; 2];
        let nothing_to_void = self.state() != Some(&State::Voiding);
        over(self.authorizations) && self.cancels_to_come == 0 && over(self.voids) && nothing_to_void
    }
}

const NEW: fn() -> NewPayment = || NewPayment {
    payment_id: PaymentId(1),
    saga_id: Some(SagaId(Uuid::from_u128(7))),
    order_id: OrderId(1),
    amount: Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap(),
};

/// Everything that can come of it.
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
fn whatever_crosses_the_gateway_has_the_money_only_of_an_authorized_payment() {
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
            // Said too early only where the cancellation came before there was anything to void.
            let to_be_voided = matches!(world.state(), Some(State::Cancelled | State::Voiding));
            assert!(!(world.charged && world.voided_said) || to_be_voided, "{world:?}");
        }
    }
}
