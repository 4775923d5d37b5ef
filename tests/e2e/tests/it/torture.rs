//! Two minutes of the torture test, with random faults: docs/reliability.md.

use std::time::Duration;

use anyhow::{Result, ensure};
use torture::{Kind, Schedule, Settings, Topology, torture};

const TIME: Duration = Duration::from_secs(110);

#[tokio::test(flavor = "multi_thread")]
async fn no_combination_of_faults_makes_a_response_untrue() -> Result<()> {
    // The last eight bytes of a UUIDv7 are random.
    let seed = u64::from_le_bytes(uuid::Uuid::now_v7().as_bytes()[8..].try_into()?);
    let kinds = Kind::ALL.iter().copied().filter(|kind| kind.fits(Topology::Single)).collect();
    let kinds = Kind::possible(kinds, &|line| println!("{line}"));
    let schedule = Schedule::new(seed, 2, &kinds, usize::MAX, u64::try_from(TIME.as_millis())?);
    println!("again: cargo xtask torture --replicas 2 --minutes 2 --seed {seed}");
    let report = torture(&Settings { clients: 8, at_most: TIME }, &schedule, &|line| println!("{line}")).await?;
    println!("{report}");
    ensure!(report.violations.is_empty(), "{report}");
    Ok(())
}
