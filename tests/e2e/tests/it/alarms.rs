//! A broker that is running but blocks publishers.

use anyhow::Result;
use shared_events::Service;
use testkit::{
    consistency::Expect,
    load_generator::LoadGenerator,
    stack::{Options, Stack},
};
use tokio::task::block_in_place;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_memory_delays_orders_and_loses_none() -> Result<()> {
    let mut stack = Stack::start("memory", Options::default().with(Service::Order, &["--order-wait=1s"])).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.ended(50).await?;
    // The broker always uses more memory than this mark, so it blocks publishers until the mark is raised.
    memory(&stack, "1")?;
    stack.says(0, "the broker takes no messages for the moment").await?;
    load.answered(30).await?;
    memory(&stack, "1GB")?;
    stack.says(0, "the broker takes messages again").await?;
    load.ended(50).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

fn memory(stack: &Stack, mark: &str) -> Result<()> {
    let command = ["set_vm_memory_high_watermark", "absolute", mark];
    block_in_place(|| stack.rabbitmq.rabbitmqctl(&command)).map(drop)
}
