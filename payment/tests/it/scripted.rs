//! A payment gateway whose behaviour the test sets.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use payment::{
    domain::{Answer, PaymentKey},
    gateway::{GatewayError, PaymentGateway},
};
use shared_events::{Money, OrderId};
use tokio::sync::watch;

/// A point in a call to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Point {
    /// The call has not reached the gateway.
    BeforeAuthorize,
    /// The gateway has charged or declined; its answer has not reached the service.
    AfterAuthorize,
    BeforeVoid,
    AfterVoid,
}

/// A gateway that records its charges, and whose calls a test holds up, releases, and makes fail. It authorizes amounts
/// below 1000.
#[derive(Debug)]
pub(crate) struct ScriptedGateway(watch::Sender<Script>);

#[derive(Debug, Default)]
struct Script {
    held: HashSet<Point>,
    reached: HashMap<Point, usize>,
    failures: HashMap<Point, usize>,
    answers: HashMap<PaymentKey, Answer>,
    /// How often each key was charged, and the sum in minor units.
    charged: HashMap<PaymentKey, (usize, i64)>,
    voided: HashSet<PaymentKey>,
}

impl ScriptedGateway {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Script::default()))
    }

    /// From now on, calls wait at `point`.
    pub(crate) fn hold(&self, point: Point) {
        self.0.send_modify(|script| {
            script.held.insert(point);
        });
    }

    /// From now on, no call waits at `point`, and those that wait go on.
    pub(crate) fn release(&self, point: Point) {
        self.0.send_modify(|script| {
            script.held.remove(&point);
        });
    }

    /// The next `count` calls that pass `point` fail there.
    pub(crate) fn fail(&self, point: Point, count: usize) {
        self.0.send_modify(|script| {
            script.failures.insert(point, count);
        });
    }

    /// Waits until `count` calls in all have reached `point`.
    pub(crate) async fn reached(&self, point: Point, count: usize) {
        let mut script = self.0.subscribe();
        let reached = script.wait_for(|script| script.count(point) >= count);
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        drop(reached.unwrap_or_else(|_| panic!("no {count} calls at {point:?}")).unwrap());
    }

    /// How many calls have reached `point`.
    pub(crate) fn count(&self, point: Point) -> usize {
        self.0.borrow().count(point)
    }

    /// How often `key` was ever charged.
    pub(crate) fn charges(&self, key: impl Into<PaymentKey>) -> usize {
        self.0.borrow().charged.get(&key.into()).map_or(0, |(count, _)| *count)
    }

    /// The minor units that it holds for `key`.
    pub(crate) fn holds(&self, key: impl Into<PaymentKey>) -> i64 {
        let (key, script) = (key.into(), self.0.borrow());
        if script.voided.contains(&key) { 0 } else { script.charged.get(&key).map_or(0, |(_, sum)| *sum) }
    }

    async fn pass(&self, point: Point) -> Result<(), GatewayError> {
        self.0.send_modify(|script| *script.reached.entry(point).or_default() += 1);
        drop(self.0.subscribe().wait_for(|script| !script.held.contains(&point)).await.unwrap());
        let mut fails = false;
        self.0.send_modify(|script| {
            if let Some(left) = script.failures.get_mut(&point).filter(|left| **left > 0) {
                *left -= 1;
                fails = true;
            }
        });
        if fails { Err(GatewayError("as the test demands".to_owned())) } else { Ok(()) }
    }
}

impl Script {
    fn count(&self, point: Point) -> usize {
        self.reached.get(&point).copied().unwrap_or(0)
    }

    fn authorize(&mut self, key: PaymentKey, amount: Money) -> Answer {
        if let Some(answer) = self.answers.get(&key) {
            return answer.clone();
        }
        let answer = if amount.minor_units() < 100_000 {
            let (count, sum) = self.charged.entry(key).or_default();
            (*count, *sum) = (*count + 1, *sum + amount.minor_units());
            // An earlier void had no effect on this authorization.
            self.voided.remove(&key);
            Answer::Authorized { reference: format!("auth-{}", key.0) }
        } else {
            Answer::Declined { reason: "over the limit".to_owned() }
        };
        self.answers.insert(key, answer.clone());
        answer
    }
}

#[async_trait]
impl PaymentGateway for ScriptedGateway {
    async fn authorize(&self, key: PaymentKey, _: OrderId, amount: Money) -> Result<Answer, GatewayError> {
        self.pass(Point::BeforeAuthorize).await?;
        let mut answer = None;
        self.0.send_modify(|script| answer = Some(script.authorize(key, amount)));
        self.pass(Point::AfterAuthorize).await?;
        Ok(answer.unwrap())
    }

    async fn void(&self, key: PaymentKey) -> Result<(), GatewayError> {
        self.pass(Point::BeforeVoid).await?;
        self.0.send_modify(|script| {
            script.voided.insert(key);
        });
        self.pass(Point::AfterVoid).await
    }
}
