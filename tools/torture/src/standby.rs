//! Faults of PostgreSQL's primary and its standby.

use anyhow::{Context as _, Result, bail};
use test_servers::Postgres;
use tokio::task::block_in_place;

use super::faults::Kind;
use testkit::stack::Stack;

/// Causes the fault.
///
/// # Errors
/// If it cannot be caused. Nothing needs to be repaired then.
pub(crate) fn begin(stack: &mut Stack, kind: Kind) -> Result<()> {
    match kind {
        Kind::FailOverDatabase => block_in_place(|| stack.postgres.kill()),
        Kind::SwitchOverDatabase => block_in_place(|| stack.postgres.stop()),
        // The primary goes on running.
        Kind::TwinDatabase => stack.promote(),
        Kind::StandbyAway => {
            let standby = standby(stack)?;
            block_in_place(|| standby.crash())
        }
        kind => bail!("{kind} is no fault of a standby"),
    }
}

/// Repairs the fault. Afterwards there are a primary and a synchronous standby.
///
/// # Errors
/// If that fails.
pub(crate) fn end(stack: &mut Stack, kind: Kind) -> Result<()> {
    if kind == Kind::StandbyAway {
        let standby = standby(stack)?;
        block_in_place(|| standby.restart())?;
        return block_in_place(|| stack.postgres.wait_for_standby(true));
    }
    if kind != Kind::TwinDatabase {
        stack.promote()?;
    }
    stack.rejoin()
}

fn standby(stack: &mut Stack) -> Result<&mut Postgres> {
    stack.standby.as_mut().context("there is no standby")
}
