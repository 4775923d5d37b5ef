//! Load in an open loop: orders are sent on a fixed schedule, however long the responses to earlier ones take. The
//! latency is measured from the time at which an order was due, so it includes the wait for a free connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    load::{Mix, Outcome},
    sending::{Answer, Connection},
};

pub use crate::sending::Wait;

/// Maximum number of connections. If more are needed, the system is too far behind for the schedule to mean anything.
const MOST_CONNECTIONS: usize = 8_000;

/// A schedule of orders.
#[derive(Debug, Clone)]
pub struct OpenLoop {
    /// The address of the order service.
    pub address: SocketAddr,
    /// What is ordered.
    pub mix: Mix,
    /// Orders per second, above 0.
    pub rate: f64,
    /// What the responses wait for.
    pub wait: Wait,
    /// How many orders were accepted so far: answered with their end, or as in progress.
    pub taken: Arc<AtomicU64>,
}

impl OpenLoop {
    /// Sends orders as scheduled until `over` resolves, then waits for the responses. Tokio's clock ticks by the
    /// millisecond, which is part of the latency.
    ///
    /// # Errors
    /// If a connection fails, or a response is neither 200, 202 nor 503, or too many orders wait for theirs.
    pub async fn run(&self, over: impl Future<Output = ()>) -> Result<Outcome> {
        let (started, pool) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        let (mut over, mut all) = (std::pin::pin!(over), Outcome::none()?);
        let mut in_flight = JoinSet::new();
        for number in 0.. {
            let due = started + Duration::from_secs_f64(number as f64 / self.rate);
            tokio::select! {
                () = &mut over => break,
                () = sleep_until(due) => {}
            }
            ensure!(in_flight.len() < MOST_CONNECTIONS, "{} orders wait for their answers", in_flight.len());
            in_flight.spawn(one(self.clone(), number, due, Arc::clone(&pool)));
            while let Some(answered) = in_flight.try_join_next() {
                let (answer, latency) = answered??;
                all.count(answer, latency)?;
            }
        }
        while let Some(answered) = in_flight.join_next().await {
            let (answer, latency) = answered??;
            all.count(answer, latency)?;
        }
        all.elapsed = started.elapsed();
        Ok(all)
    }
}

async fn one(
    load: OpenLoop,
    number: u64,
    due: Instant,
    pool: Arc<Mutex<Vec<Connection>>>,
) -> Result<(Answer, Duration)> {
    let free = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut connection = match free {
        Some(connection) => connection,
        None => Connection::open(load.address, None).await?,
    };
    let answer = connection.place(load.mix.body(number), load.wait).await?;
    let latency = due.elapsed();
    if !matches!(answer, Answer::Refused) {
        load.taken.fetch_add(1, Ordering::Relaxed);
    }
    pool.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    Ok((answer, latency))
}
