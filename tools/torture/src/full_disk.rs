//! Fills a server's disk, and frees the space again.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::json;
use tokio::{
    task::block_in_place,
    time::{Instant, sleep, timeout},
};

use super::faults::Target;
use testkit::stack::Stack;

/// How long a queue may take to respond once there is space again.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the queues may take to start after RabbitMQ has started.
const START_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn fill(stack: &Stack, target: Target) -> Result<()> {
    if target == Target::Database {
        return block_in_place(|| stack.postgres.fill_disk());
    }
    stack.queues_on_disk()?;
    block_in_place(|| stack.rabbitmq.fill_disk())
}

/// Frees the space and restarts the server: PostgreSQL if it is down, RabbitMQ always. Returns the queues that were
/// damaged; if there are any, RabbitMQ has been reset and is empty.
pub(super) async fn free(stack: &mut Stack, target: Target) -> Result<Vec<String>> {
    if target == Target::Database {
        block_in_place(|| {
            stack.postgres.free_disk()?;
            stack.postgres.recover()
        })?;
        return Ok(Vec::new());
    }
    // RabbitMQ 3.10 keeps running after ENOSPC, but most of its quorum queues do not work until it is restarted. The
    // others may be damaged, which would only show at a later start.
    let started = block_in_place(|| {
        stack.rabbitmq.free_disk()?;
        stack.rabbitmq.kill()?;
        anyhow::Ok(stack.rabbitmq.restart())
    })?;
    if started.is_err() {
        // ENOSPC can also damage a file that the node reads when it starts, so that it never starts again
        // (`rabbit_queue_index` in its log).
        block_in_place(|| stack.rabbitmq.start_empty())?;
        return Ok(vec!["all of them, and it did not start again".to_owned()]);
    }
    let deadline = Instant::now() + START_TIMEOUT;
    let mut silent = silent_queues(stack).await?;
    while !silent.is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(500)).await;
        silent = silent_queues(stack).await?;
    }
    // ENOSPC can damage a quorum queue permanently (`corrupt_log` or `enoent` in RabbitMQ's log). If such a queue is
    // deleted, a new one with the same name works only until the next start, so an administrator has to reset the node.
    if !silent.is_empty() {
        block_in_place(|| stack.rabbitmq.start_empty())?;
    }
    Ok(silent)
}

/// Returns the queues that do not answer a `get`, which makes them write to the disk.
async fn silent_queues(stack: &Stack) -> Result<Vec<String>> {
    let administrator = stack.administrator()?;
    let mut silent = Vec::new();
    for queue in timeout(QUEUE_TIMEOUT, administrator.names("queues/{vhost}")).await?? {
        let get = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let request = administrator.request(Method::POST, &format!("queues/{{vhost}}/{queue}/get")).json(&get);
        let answered = timeout(QUEUE_TIMEOUT, request.send()).await;
        if !answered.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success())) {
            silent.push(queue);
        }
    }
    Ok(silent)
}
