//! Checks what is kept when the containers are removed.

use anyhow::{Result, ensure};

use crate::{
    headline,
    stack::{self, Stack},
};

/// Checks that `down` and `up` keep everything.
///
/// # Errors
/// If something is lost.
pub(crate) async fn by_down(stack: &mut Stack) -> Result<()> {
    headline("down");
    let before = stack.client().await?.orders().await?;
    stack.compose(&["down"]).await?;
    stack.up(&[]).await?;
    let after = stack.client().await?.orders().await?;
    ensure!(before == after, "{} orders before, {} after, or they are others", before.len(), after.len());
    println!("    {} orders are as they were", after.len());
    stack.verified().await?;
    Ok(())
}

/// Checks that `down -v` leaves no container, volume or network.
///
/// # Errors
/// If something is left.
pub(crate) async fn not_by_down_v(stack: &Stack) -> Result<()> {
    headline("down -v");
    ensure!(!stack::left().await?.is_empty(), "nothing is there, so nothing can be left");
    stack.compose(&["down", "-v"]).await?;
    let left = stack::left().await?;
    ensure!(left.is_empty(), "these are left: {left}");
    println!("    nothing is left");
    Ok(())
}
