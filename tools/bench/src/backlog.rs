//! Orders that pile up while inventory is away, and how they are caught up with.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use sea_orm::sqlx::{self, Connection as _, PgConnection};
use serde::Serialize;
use shared_events::Service;
use testkit::{
    load::Mix,
    open_loop::{OpenLoop, Wait},
    stack::Stack,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Settings;

/// What became of a backlog.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Backlog {
    /// The load, before, meanwhile and afterwards.
    pub(crate) scheduled_orders_per_second: f64,
    pub(crate) inventory_away_seconds: f64,
    /// Orders that waited when inventory was started again.
    pub(crate) piled_up_orders: u64,
    /// From that start until no more orders waited than before.
    pub(crate) drained_after_seconds: f64,
    /// Orders a second that came to their end meanwhile.
    pub(crate) orders_per_second_while_draining: f64,
    /// Orders that were refused (503), of all.
    pub(crate) refused: u64,
}

/// An order is given up after ten minutes (`--order-deadline`). No other limit is near: the broker takes the events, so the
/// outbox, which is what `--max-backlog` bounds, stays short. So nothing need be raised for an absence up to this.
const LONGEST: Duration = Duration::from_secs(240);
/// How long the draining may take.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Stops inventory for a while under a load of `rate` orders a second, and measures what follows.
pub(crate) async fn measure(stack: &mut Stack, settings: &Settings, rate: f64) -> Result<Backlog> {
    ensure!(settings.backlog <= LONGEST, "--backlog can be at most {LONGEST:?}");
    let address = stack.replica(Service::Order, 0)?.address;
    let (over, taken) = (CancellationToken::new(), Arc::default());
    let load = OpenLoop {
        address,
        mix: Mix::Uniform(settings.skus),
        rate,
        // Whoever waited for an end would get it late, or not at all, and hold a connection meanwhile.
        wait: Wait::Durable,
        taken: Arc::clone(&taken),
    };
    let until = over.clone();
    let load = tokio::spawn(async move { load.run(until.cancelled()).await });
    let _over = over.clone().drop_guard();
    let mut orders = PgConnection::connect(&stack.database_url(Service::Order)).await?;

    sleep(settings.warm_up).await;
    // Under load some always wait; the most of what was seen counts as ordinary.
    let (begun, mut ordinary) = (Instant::now(), 0);
    while begun.elapsed() < settings.time.min(Duration::from_secs(5)) {
        ordinary = ordinary.max(waiting(&mut orders).await?);
        sleep(LOOK).await;
    }

    let away = Instant::now();
    let inventory = stack.replica(Service::Inventory, 0)?;
    let status = inventory.stop().await?;
    ensure!(status.success(), "inventory ended with {status}");
    sleep(settings.backlog.saturating_sub(away.elapsed())).await;
    let (away, piled_up, taken_before) = (away.elapsed(), waiting(&mut orders).await?, taken.load(Ordering::Relaxed));
    let begun = Instant::now();
    stack.replica(Service::Inventory, 0)?.start()?;
    let drained = async {
        loop {
            let left = waiting(&mut orders).await?;
            if left <= ordinary {
                return Ok::<_, anyhow::Error>(left);
            }
            sleep(LOOK).await;
        }
    };
    let left = timeout(TIMEOUT, drained).await??;
    let (elapsed, came) = (begun.elapsed().as_secs_f64(), taken.load(Ordering::Relaxed) - taken_before);
    over.cancel();
    let outcome = load.await??;
    orders.close().await?;
    Ok(Backlog {
        scheduled_orders_per_second: rate,
        inventory_away_seconds: away.as_secs_f64(),
        piled_up_orders: piled_up,
        drained_after_seconds: elapsed,
        orders_per_second_while_draining: (piled_up + came).saturating_sub(left) as f64 / elapsed,
        refused: outcome.refused,
    })
}

/// How many orders have not come to their end.
async fn waiting(orders: &mut PgConnection) -> Result<u64> {
    let sql = "SELECT count(*) FROM orders WHERE status IN ('PENDING', 'COMPENSATING')";
    let count: i64 = sqlx::query_scalar(sql).fetch_one(orders).await?;
    Ok(count.unsigned_abs())
}

/// Waits until all orders have come to their end.
pub(crate) async fn at_rest(stack: &Stack) -> Result<()> {
    let mut orders = PgConnection::connect(&stack.database_url(Service::Order)).await?;
    let rest = async {
        while waiting(&mut orders).await? > 0 {
            sleep(LOOK).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    timeout(TIMEOUT, rest).await??;
    orders.close().await?;
    Ok(())
}
