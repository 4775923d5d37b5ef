//! What must hold at the end, whatever happened: nothing is lost, and nothing happens twice.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::{
    client::Client,
    load_generator::{Answered, HOT, HOT_STOCK, OrderKind, PLENTY, SCARCE, number_of},
    replica::bare_command,
    stack::{Stack, TIMEOUT},
};

/// How orders may have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// As the load generator expects.
    AsRequested,
    /// As expected, or by their deadline.
    AsRequestedOrDeadline,
}

impl Stack {
    /// Checks everything that was promised to the `answered` orders: each exists exactly once and has ended correctly;
    /// the stock adds up; the audit is clean; and no log has an error.
    ///
    /// # Errors
    /// What does not hold.
    pub async fn assert_consistent(&mut self, answered: &[Answered], ends: Expect) -> Result<()> {
        self.verified().await?;
        let clients = self.clients()?;
        let mut orders = HashMap::new();
        for order in clients[0].orders().await? {
            orders.insert(order["order_id"].as_i64().context("a number")?, order);
        }
        let numbers: std::collections::HashSet<i64> = answered.iter().map(|one| one.order_id).collect();
        ensure!(numbers.len() == answered.len(), "two answers name the same order");
        ensure!(orders.len() == answered.len(), "{} orders for {} answers", orders.len(), answered.len());
        for one in answered {
            let order = orders.get(&one.order_id).with_context(|| format!("lost: {one:?}"))?;
            end(one, order, ends).with_context(|| format!("{one:?} has become {order}"))?;
        }
        // Each key names its order, at every replica.
        let asked = answered.iter().enumerate().map(async |(number, one)| {
            let again = number_of(&clients[number % clients.len()], one).await?;
            ensure!(again == one.order_id, "{one:?} is order {again} at the second try");
            Ok(())
        });
        stream::iter(asked).buffer_unordered(16).try_collect::<()>().await?;
        stock(&clients[0], orders.values(), ends).await?;
        self.no_errors()?;
        self.passed();
        Ok(())
    }

    /// Checks that the audit is clean, once nothing is in progress.
    ///
    /// # Errors
    /// The findings of the audit.
    pub async fn verified(&self) -> Result<()> {
        let url = self.postgres_url("{service}", None);
        let program = self.programs.path("order-system")?;
        let wait = format!("{}s", TIMEOUT.as_secs());
        let audit = tokio::task::spawn_blocking(move || {
            bare_command(&program).args(["verify", "--wait", &wait]).env("DATABASE_URL", url).output()
        });
        // The audit has a time limit of its own; this one is in case that it hangs.
        let output = tokio::time::timeout(2 * TIMEOUT, audit).await.context("the audit does not end")???;
        let report = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Returns a client for each set of replicas: the first of each service, the second of each, and so on.
    fn clients(&mut self) -> Result<Vec<Client>> {
        (0..self.replicas.len() / 3).map(|number| self.client(number)).collect()
    }

    /// Checks that no service has logged an error or a panic.
    ///
    /// # Errors
    /// The first such line.
    pub fn no_errors(&self) -> Result<()> {
        for replica in &self.replicas {
            let log = replica.log();
            // The message of a panic is not a line of JSON.
            let bad = |line: &&str| line.contains(r#""level":"ERROR""#) || line.contains("panicked");
            if let Some(line) = log.lines().find(bad) {
                bail!("{replica} says: {line}");
            }
        }
        Ok(())
    }
}

fn end(one: &Answered, order: &Value, ends: Expect) -> Result<()> {
    let (status, reason) = (text(&order["status"]), text(&order["failure_reason"]));
    let by_deadline = ends == Expect::AsRequestedOrDeadline && (status, reason) == ("FAILED", "DEADLINE_EXCEEDED");
    let cancelled = one.cancelled.map(|answer| answer.as_u16());
    let fits = match one.kind {
        OrderKind::Ordinary | OrderKind::Async => status == "CONFIRMED",
        OrderKind::Hot => status == "CONFIRMED" || (status, reason) == ("FAILED", "INSUFFICIENT_STOCK"),
        OrderKind::Declined => (status, reason) == ("FAILED", "PAYMENT_DECLINED"),
        OrderKind::TooMuch => (status, reason) == ("FAILED", "INSUFFICIENT_STOCK"),
        OrderKind::Cancelled if cancelled == Some(409) => status == "CONFIRMED",
        OrderKind::Cancelled => status == "CANCELLED",
    };
    ensure!(fits || (by_deadline && cancelled != Some(409)), "not the end that was requested");
    // If a response showed an end, the order must have that end.
    ensure!(!one.has_ended() || one.status == status, "another end than the one that was answered");
    let sent = one.kind.body(&one.key);
    for field in ["item_sku", "quantity", "amount"] {
        ensure!(order[field] == sent[field], "another {field} than the one that was ordered");
    }
    Ok(())
}

async fn stock(client: &Client, orders: impl Iterator<Item = &Value>, ends: Expect) -> Result<()> {
    let (mut sold, mut hot) = (BTreeMap::<&str, i64>::new(), 0);
    for order in orders {
        let sku = text(&order["item_sku"]);
        hot += i64::from(sku == HOT);
        if order["status"] == "CONFIRMED" {
            *sold.entry(sku).or_default() += order["quantity"].as_i64().context("a number")?;
        }
    }
    for sku in [PLENTY, HOT, SCARCE] {
        let (item, sold) = (client.stock(sku).await?, sold.get(sku).copied().unwrap_or_default());
        let count = |field: &str| item[field].as_i64().with_context(|| format!("{sku}: no {field}"));
        let [received, left, held] = [count("received")?, count("quantity")?, count("reserved")?];
        ensure!(
            received == left + sold && held == 0 && count("sold")? == sold,
            "{sold} sold of {sku}, and the stock is {item}"
        );
    }
    // The hot SKU is sold to the last unit, and not further.
    if ends == Expect::AsRequested {
        let sold = sold.get(HOT).copied().unwrap_or_default();
        ensure!(sold == hot.min(HOT_STOCK), "{sold} of {HOT_STOCK} sold, {hot} wanted");
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns a random number below `below`.
#[must_use]
pub fn random(below: usize) -> usize {
    use std::hash::{BuildHasher as _, RandomState};
    let hash = RandomState::new().hash_one(Duration::ZERO);
    usize::try_from(hash % below.max(1) as u64).unwrap_or_default()
}
