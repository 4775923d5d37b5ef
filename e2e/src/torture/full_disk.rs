//! The disk under a server is full, and has space again.

use std::time::Duration;

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::json;
use shared_events::Service;
use tokio::{task::block_in_place, time::timeout};

use super::faults::Target;
use crate::stack::Stack;

/// How long a queue of RabbitMQ may take to answer once there is space again.
const ANSWER: Duration = Duration::from_secs(5);

pub(super) fn fill(stack: &Stack, target: Target) -> Result<()> {
    if target == Target::Database {
        return block_in_place(|| stack.postgres.fill_disk());
    }
    stack.queues_on_disk()?;
    block_in_place(|| stack.rabbitmq.fill_disk())
}

/// Frees the space and starts the server again if it needs that.
pub(super) async fn free(stack: &mut Stack, target: Target) -> Result<()> {
    if target == Target::Database {
        return block_in_place(|| {
            stack.postgres.free_disk()?;
            stack.postgres.recover()
        });
    }
    stack.rabbitmq.free_disk()?;
    if stack.rabbitmq.runs() && queues_answer(stack).await {
        return Ok(());
    }
    // RabbitMQ 3.10 runs on after ENOSPC, and its quorum queues do not until it is started again.
    block_in_place(|| {
        stack.rabbitmq.kill()?;
        stack.rabbitmq.start_again()
    })
}

/// Whether each queue that is there shows its first message, or says that it is empty: for that it writes to the disk.
async fn queues_answer(stack: &Stack) -> bool {
    let Ok(administrator) = stack.administrator() else { return false };
    for service in Service::ALL {
        let get = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let request = administrator.request(Method::POST, &format!("queues/{{vhost}}/{service}/get")).json(&get);
        match timeout(ANSWER, request.send()).await {
            Ok(Ok(answer)) if answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND => {}
            _ => return false,
        }
    }
    true
}
