use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, stream};
use payment::{
    domain::{Payment, PaymentId},
    gateway::PaymentGateway,
    store,
};
use saga_database::Database;
use sea_orm::DatabaseConnection;
use tokio::time::Instant;

use super::{
    lookup::{Found, NoAnswer, look_up},
    rules::{Difference, of_payment},
};

/// How many rows are read per page.
const PAGE: u64 = 1_000;
/// How often a payment is compared that goes on changing.
const COMPARISONS: usize = 5;
/// After this many payments of which the gateway knows none, it must be the wrong account.
const UNKNOWN_TO_GATEWAY: u64 = 100;
/// How often the progress is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What is compared with the gateway, and how.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(super) gateway: Arc<dyn PaymentGateway>,
    /// Only payments that were created or have changed within this time.
    pub(super) since: Option<Duration>,
    /// How many payments the gateway is asked about at the same time.
    pub(super) concurrency: usize,
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Compared {
    /// How many payments were compared.
    pub payments: u64,
    /// Of which time, if not all.
    pub since: Option<Duration>,
    /// Money at the gateway that the rows do not account for, one line each.
    pub unaccounted: Vec<String>,
    /// The other differences, one line each.
    pub differences: Vec<String>,
    /// Why the comparison has ended early, if it has.
    pub stopped: Option<String>,
    /// How many payments the gateway knows.
    known: u64,
}

/// Compares the payments that have a reference with what the gateway has of them. `rows` is the number of payments, for
/// the progress.
///
/// # Errors
/// If the database cannot be read. A gateway that does not answer is a part of the result.
pub(crate) async fn compare(
    database: &Database,
    comparison: &Comparison,
    rows: u64,
    progress: &dyn Fn(fmt::Arguments<'_>),
) -> Result<Compared> {
    let reader = database.reader();
    let since = comparison.since.map(|since| database.clock().now().before(since));
    let mut compared = Compared { since: comparison.since, ..Compared::default() };
    let (mut after, mut seen, mut reported) = (PaymentId(0), 0, Instant::now());
    loop {
        let page = store::all(&reader, after, PAGE).await.context("cannot read the payments")?;
        let Some((last, _)) = page.last() else { break };
        after = PaymentId(*last);
        // A row that cannot be read is in the report already.
        let payments = page.into_iter().filter_map(|(_, row)| row.ok());
        let wanted = |one: &Payment| one.reference.is_some() && since.is_none_or(|since| one.changed_at >= since);
        let (payments, others): (Vec<_>, Vec<_>) = payments.partition(wanted);
        seen += others.len();
        let compare = |payment| comparison.compare(&reader, payment);
        let mut answers = stream::iter(payments).map(compare).buffered(comparison.concurrency);
        while let Some(answer) = answers.next().await {
            match answer? {
                Ok(one) => compared.add(one),
                Err(NoAnswer(reason)) => compared.stopped = Some(format!("the gateway does not answer: {reason}")),
            }
            compared.stop_if_unknown(UNKNOWN_TO_GATEWAY);
            if compared.stopped.is_some() {
                return Ok(compared);
            }
            seen += 1;
            if reported.elapsed() >= PROGRESS_INTERVAL {
                reported = Instant::now();
                let payments = compared.payments;
                progress(format_args!("{seen} of {rows} payments; {payments} are compared with the gateway"));
            }
        }
    }
    compared.stop_if_unknown(2);
    Ok(compared)
}

/// What was found out about one payment.
struct One {
    payment: Payment,
    is_known: bool,
    differences: Vec<Difference>,
}

impl Comparison {
    /// Compares one payment. While the system runs, the payment may change between the two looks at it; so a difference
    /// counts if its row is the same after the gateway has answered as before.
    async fn compare(&self, reader: &DatabaseConnection, payment: Payment) -> Result<Result<One, NoAnswer>> {
        let mut one = One { payment, is_known: true, differences: Vec::new() };
        for _ in 0..COMPARISONS {
            let found = match look_up(self.gateway.as_ref(), &one.payment).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(Ok(one)),
                Err(no_answer) => return Ok(Err(no_answer)),
            };
            let (is_known, differences) = match found {
                Found::Payment(found) => (found.is_some(), of_payment(&one.payment, found.as_deref())),
                Found::Unreadable(reason) => (true, vec![Difference::unreadable(&reason)]),
            };
            if differences.is_empty() {
                return Ok(Ok(One { is_known, ..one }));
            }
            let now = store::by_id(reader, one.payment.payment_id).await.context("cannot read a payment")?;
            match now {
                Some(now) if now != one.payment => one.payment = now,
                _ => return Ok(Ok(One { is_known, differences, ..one })),
            }
        }
        // It is being worked on.
        Ok(Ok(one))
    }
}

impl Compared {
    /// Returns whether all payments were compared, and the gateway agrees.
    pub(crate) fn is_clean(&self) -> bool {
        self.unaccounted.is_empty() && self.differences.is_empty() && self.stopped.is_none()
    }

    fn add(&mut self, One { payment, is_known, differences }: One) {
        self.payments += 1;
        self.known += u64::from(is_known);
        let reference = payment.reference.as_deref().unwrap_or_default();
        for Difference { is_unaccounted, text } in differences {
            let line = format!("payment {} ({reference}) of order {}: {text}", payment.payment_id, payment.order_id);
            if is_unaccounted {
                self.unaccounted.push(format!("unaccounted money: {line}"));
            } else {
                self.differences.push(line);
            }
        }
    }

    /// If the gateway knows none of the payments, and there are as many as `least`, says so once instead of for each.
    fn stop_if_unknown(&mut self, least: u64) {
        if self.known == 0 && self.payments >= least && self.stopped.is_none() {
            self.differences.clear();
            self.stopped = Some(format!(
                "the gateway knows none of {} payments: is it the account, and the mode, in which they were made?",
                self.payments
            ));
        }
    }
}
