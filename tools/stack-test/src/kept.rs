//! What outlives the containers, and what does not.

use anyhow::{Result, ensure};

use crate::{
    say,
    stack::{self, Stack},
};

/// `down` and `up` keeps everything.
///
/// # Errors
/// If something is lost.
pub(crate) async fn by_down(stack: &mut Stack) -> Result<()> {
    say("down");
    let before = stack.client().await?.orders().await?;
    stack.compose(&["down"]).await?;
    stack.up(&[]).await?;
    let after = stack.client().await?.orders().await?;
    ensure!(before == after, "{} orders before, {} after, or they are others", before.len(), after.len());
    println!("    {} orders are as they were", after.len());
    stack.verified().await?;
    Ok(())
}

/// `down -v` leaves no container, volume or network.
///
/// # Errors
/// If something is left.
pub(crate) async fn not_by_down_v(stack: &Stack) -> Result<()> {
    say("down -v");
    ensure!(!stack::left().await?.is_empty(), "nothing is there, so nothing can be left");
    stack.compose(&["down", "-v"]).await?;
    let left = stack::left().await?;
    ensure!(left.is_empty(), "these are left: {left}");
    println!("    nothing is left");
    Ok(())
}
