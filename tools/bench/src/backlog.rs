//! Measures how orders pile up while inventory is stopped, and how fast they are processed afterwards.

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

/// The result of the backlog measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Backlog {
    /// The load before, during and after the stop.
    pub(crate) scheduled_orders_per_second: f64,
    pub(crate) inventory_away_seconds: f64,
    /// Unfinished orders when inventory was started again.
    pub(crate) piled_up_orders: u64,
    /// Time from that start until no more orders were unfinished than before.
    pub(crate) drained_after_seconds: f64,
    /// Orders per second that ended during this time.
    pub(crate) orders_per_second_while_draining: f64,
    /// Total number of orders that were refused (503).
    pub(crate) refused: u64,
}

/// Maximum length of the stop. An order is cancelled after ten minutes (`--order-deadline`). No other limit is near:
/// the broker accepts the events, so the outbox, which `--max-backlog` limits, stays short. So no setting has to be
/// raised for a stop of up to this length.
const MAX_STOP: Duration = Duration::from_secs(240);
/// Time limit for processing the backlog.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Interval at which unfinished orders are counted.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Stops inventory for a while under a load of `rate` orders per second, and measures what follows.
pub(crate) async fn measure(stack: &mut Stack, settings: &Settings, rate: f64) -> Result<Backlog> {
    ensure!(settings.backlog <= MAX_STOP, "--backlog can be at most {MAX_STOP:?}");
    let address = stack.replica(Service::Order, 0)?.address;
    let (over, taken) = (CancellationToken::new(), Arc::default());
    let load = OpenLoop {
        address,
        mix: Mix::Uniform(settings.skus),
        rate,
        // A client that waited for the end of its order would get a late response or none, and would occupy a
        // connection meanwhile.
        wait: Wait::Durable,
        taken: Arc::clone(&taken),
    };
    let until = over.clone();
    let load = tokio::spawn(async move { load.run(until.cancelled()).await });
    let _over = over.clone().drop_guard();
    let mut orders = PgConnection::connect(&stack.database_url(Service::Order)).await?;

    sleep(settings.warm_up).await;
    // Under load, some orders are always unfinished; the highest number that was observed is normal.
    let (started, mut normal) = (Instant::now(), 0);
    while started.elapsed() < settings.time.min(Duration::from_secs(5)) {
        normal = normal.max(waiting(&mut orders).await?);
        sleep(POLL_INTERVAL).await;
    }

    let away = Instant::now();
    let inventory = stack.replica(Service::Inventory, 0)?;
    let status = inventory.stop().await?;
    ensure!(status.success(), "inventory ended with {status}");
    sleep(settings.backlog.saturating_sub(away.elapsed())).await;
    let (away, piled_up, taken_before) = (away.elapsed(), waiting(&mut orders).await?, taken.load(Ordering::Relaxed));
    let started = Instant::now();
    stack.replica(Service::Inventory, 0)?.start()?;
    let drained = async {
        loop {
            let left = waiting(&mut orders).await?;
            if left <= normal {
                return Ok::<_, anyhow::Error>(left);
            }
            sleep(POLL_INTERVAL).await;
        }
    };
    let left = timeout(TIMEOUT, drained).await??;
    let (elapsed, came) = (started.elapsed().as_secs_f64(), taken.load(Ordering::Relaxed) - taken_before);
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

/// Returns the number of orders that have not ended.
async fn waiting(orders: &mut PgConnection) -> Result<u64> {
    let sql = "SELECT count(*) FROM orders WHERE status IN ('PENDING', 'COMPENSATING')";
    let count: i64 = sqlx::query_scalar(sql).fetch_one(orders).await?;
    Ok(count.unsigned_abs())
}

/// Waits until all orders have ended.
pub(crate) async fn at_rest(stack: &Stack) -> Result<()> {
    let mut orders = PgConnection::connect(&stack.database_url(Service::Order)).await?;
    let rest = async {
        while waiting(&mut orders).await? > 0 {
            sleep(POLL_INTERVAL).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    timeout(TIMEOUT, rest).await??;
    orders.close().await?;
    Ok(())
}
