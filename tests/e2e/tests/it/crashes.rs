//! Services that are killed under load.

use anyhow::{Result, ensure};
use shared_events::Service;
use testkit::{
    consistency::{Expect, random},
    load_generator::LoadGenerator,
    stack::{Options, Stack},
};

const KILLS: usize = 15;

#[tokio::test(flavor = "multi_thread")]
async fn services_are_killed_at_random_moments_again_and_again() -> Result<()> {
    let mut stack = Stack::start("kills", Options::default()).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    for kill in 0..KILLS {
        load.answered(1 + random(30)).await?;
        // Each at least a few times, whatever the dice say.
        let service = Service::ALL[if kill < 6 { kill % 3 } else { random(3) }];
        let replica = stack.replica(service, 0)?;
        replica.kill()?;
        replica.start()?;
    }
    load.answered(50).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_either_goes_on_without_the_other() -> Result<()> {
    let mut stack = Stack::start("replicas", Options { replicas: 2, ..Options::default() }).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.answered(50).await?;
    let first = publishers(&stack)?;
    for number in [0, 1] {
        for service in Service::ALL {
            stack.replica(service, number)?.kill()?;
        }
        // Those that are left do all the work: that an order ends takes all three of them.
        load.ended(100).await?;
        stack.start_all()?;
        stack.ready().await?;
    }
    // Whoever was publishing at first was among the killed.
    let last = publishers(&stack)?;
    ensure!(first.iter().zip(&last).all(|(first, last)| first != last), "{first:?} {last:?}");
    // And now one of each at a time, the one that publishes or the other.
    for service in Service::ALL {
        load.answered(1 + random(30)).await?;
        let replica = stack.replica(service, random(2))?;
        replica.kill()?;
        replica.start()?;
    }
    load.answered(100).await?;
    let answered = load.stop().await?;
    stack.ready().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

/// The sessions that hold the publishers' locks, a service each.
fn publishers(stack: &Stack) -> Result<Vec<String>> {
    let lock = "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database \
                WHERE datname = current_database() AND locktype = 'advisory' AND mode = 'ExclusiveLock'";
    Service::ALL.into_iter().map(|service| stack.postgres.psql(service.name(), lock)).collect()
}
