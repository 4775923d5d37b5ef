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
        // Each service at least twice, the rest at random.
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
async fn each_of_two_replicas_works_without_the_other() -> Result<()> {
    let mut stack = Stack::start("replicas", Options { replicas: 2, ..Options::default() }).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.answered(50).await?;
    let first = publishers(&stack)?;
    for number in [0, 1] {
        for service in Service::ALL {
            stack.replica(service, number)?.kill()?;
        }
        // The remaining replicas do all the work: an order ends only if all three services run.
        load.ended(100).await?;
        stack.start_all()?;
        stack.ready().await?;
    }
    // The first publishers were among those that were killed.
    let last = publishers(&stack)?;
    ensure!(first.iter().zip(&last).all(|(first, last)| first != last), "{first:?} {last:?}");
    // Now kill one replica of each service in turn, which may be the publisher or the other one.
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

/// Returns the sessions that hold the relay lock, one per service.
fn publishers(stack: &Stack) -> Result<Vec<String>> {
    let lock = "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database \
                WHERE datname = current_database() AND locktype = 'advisory' AND mode = 'ExclusiveLock'";
    Service::ALL.into_iter().map(|service| stack.postgres.psql(service.name(), lock)).collect()
}
