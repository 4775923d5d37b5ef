//! A payment gateway whose behaviour the test sets.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use payment::{
    domain::PaymentKey,
    gateway::{
        GatewayPayment, Lookup, Outcome, PaymentGateway, PaymentRequest, Reference, RefundKey, conformance::Moved,
    },
};
use shared_events::{Money, PaymentMethod};
use tokio::sync::watch;

use crate::books::Books;

/// A point in a call to the gateway: before the call has reached it, or after it has acted and before its answer has
/// reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Point {
    BeforePrepare,
    AfterPrepare,
    BeforeAuthorize,
    AfterAuthorize,
    BeforeCapture,
    AfterCapture,
    BeforeVoid,
    AfterVoid,
    BeforeRefund,
    AfterRefund,
    BeforeLookup,
    AfterLookup,
}

/// A gateway that keeps books, and whose calls a test holds up, releases, and makes fail. It authorizes amounts below
/// 1000.
#[derive(Debug)]
pub(crate) struct ScriptedGateway(watch::Sender<Script>);

#[derive(Debug, Default)]
struct Script {
    held: HashSet<Point>,
    reached: HashMap<Point, usize>,
    failures: HashMap<Point, usize>,
    /// How many of the next answers are lost.
    to_lose: usize,
    books: Books,
}

impl ScriptedGateway {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Script::default()))
    }

    /// From now on, calls wait at `point`.
    pub(crate) fn hold(&self, point: Point) {
        self.change(|script| script.held.insert(point));
    }

    /// From now on, no call waits at `point`, and those that wait go on.
    pub(crate) fn release(&self, point: Point) {
        self.change(|script| script.held.remove(&point));
    }

    /// The next `count` calls that pass `point` fail there.
    pub(crate) fn fail(&self, point: Point, count: usize) {
        self.change(|script| script.failures.insert(point, count));
    }

    /// The next answer is lost, whatever was asked.
    pub(crate) fn lose_next_answer(&self) {
        self.change(|script| script.to_lose += 1);
    }

    pub(crate) fn forget_keys(&self) {
        self.change(|script| script.books.forget_keys());
    }

    /// The authorization of `key` expires.
    pub(crate) fn expire(&self, key: impl Into<PaymentKey>) {
        self.change(|script| script.books.expire(key.into()));
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
        self.0.borrow().books.charges(key.into())
    }

    /// The minor units that it holds for `key`.
    pub(crate) fn holds(&self, key: impl Into<PaymentKey>) -> i64 {
        self.moved(key).held
    }

    /// The means of payment that it was told for `key`.
    pub(crate) fn method(&self, key: impl Into<PaymentKey>) -> Option<PaymentMethod> {
        self.0.borrow().books.method(key.into())
    }

    /// What it has moved for `key`.
    pub(crate) fn moved(&self, key: impl Into<PaymentKey>) -> Moved {
        self.0.borrow().books.moved(key.into())
    }

    /// Makes a call that passes two points. A failure at the first one is before the effect, and one at the second is a
    /// lost answer.
    async fn call<T>(&self, points: [Point; 2], effect: impl FnOnce(&mut Books) -> Outcome<T>) -> Outcome<T> {
        let [before, after] = points;
        if self.fails_at(before).await {
            return Outcome::retry_later("as the test demands");
        }
        let outcome = self.change(|script| effect(&mut script.books));
        let is_lost = self.change(|script| {
            let is_lost = script.to_lose > 0;
            script.to_lose -= usize::from(is_lost);
            is_lost
        });
        if self.fails_at(after).await || is_lost {
            return Outcome::Unknown("as the test demands".to_owned());
        }
        outcome
    }

    async fn fails_at(&self, point: Point) -> bool {
        self.change(|script| *script.reached.entry(point).or_default() += 1);
        drop(self.0.subscribe().wait_for(|script| !script.held.contains(&point)).await.unwrap());
        self.change(|script| {
            let left = script.failures.get_mut(&point).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        let mut result = None;
        self.0.send_modify(|script| result = Some(change(script)));
        result.unwrap()
    }
}

impl Script {
    fn count(&self, point: Point) -> usize {
        self.reached.get(&point).copied().unwrap_or(0)
    }
}

#[async_trait]
impl PaymentGateway for ScriptedGateway {
    async fn prepare(&self, request: &PaymentRequest) -> Outcome<Reference> {
        self.call([Point::BeforePrepare, Point::AfterPrepare], |books| books.prepare(request)).await
    }

    async fn authorize(&self, reference: &Reference) -> Outcome<()> {
        self.call([Point::BeforeAuthorize, Point::AfterAuthorize], |books| books.authorize(reference)).await
    }

    async fn capture(&self, reference: &Reference) -> Outcome<Reference> {
        self.call([Point::BeforeCapture, Point::AfterCapture], |books| books.capture(reference)).await
    }

    async fn void(&self, reference: &Reference) -> Outcome<()> {
        self.call([Point::BeforeVoid, Point::AfterVoid], |books| books.void(reference)).await
    }

    async fn refund(&self, reference: &Reference, key: RefundKey, amount: Money) -> Outcome<()> {
        self.call([Point::BeforeRefund, Point::AfterRefund], |books| books.refund(reference, key, amount)).await
    }

    async fn lookup(&self, payment: Lookup<'_>) -> Outcome<Option<GatewayPayment>> {
        let lookup = |books: &mut Books| Outcome::Done(books.lookup(payment));
        self.call([Point::BeforeLookup, Point::AfterLookup], lookup).await
    }
}
