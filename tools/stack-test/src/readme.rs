//! The README: its commands are run against the stack, and it shows what was measured.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::{
    docker::{TIMEOUT, run},
    say,
    stack::Stack,
};

const README: &str = "README.md";
const BEGIN: &str = "<!-- What follows is written by `cargo xtask stack-test --write`. -->\n";
const END: &str = "<!-- Until here. -->";

/// What the answers to the commands hold, in their order.
const ANSWERS: [&[&str]; 6] = [
    &[r#""item_sku":"SKU-ABC","quantity":10,"reserved":0"#],
    &[r#""order_id":1"#, r#""status":"CONFIRMED","payment_status":"SUCCEEDED""#],
    &[r#""order_id":2,"status":"FAILED","payment_status":"FAILED""#, "payment declined"],
    &[r#""quantity":8,"reserved":0"#],
    &[r#""order_id":3,"status":"FAILED","payment_status":"NOT_ATTEMPTED""#, "insufficient stock"],
    &["OrderCreated", "StockReserved", "PaymentFailed", "StockReleased", "OrderFailed"],
];

/// The README's curl lines work on the stack as they do on the standalone system.
///
/// # Errors
/// If one gets another answer.
pub(crate) async fn scenarios(stack: &Stack) -> Result<()> {
    say("the README's commands");
    let readme = fs::read_to_string(README)?;
    let here = stack.client().await?.addresses;
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<String> =
        blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut commands = lines.iter().filter(|line| line.starts_with("curl"));
    for expected in ANSWERS {
        let command = commands.next().context("a command is missing")?;
        let mut command = command.clone();
        for (port, address) in [8001, 8002, 8003].into_iter().zip(here) {
            command = command.replace(&format!("127.0.0.1:{port}"), &address.to_string());
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]);
        let answer = run(shell, TIMEOUT).await?.stdout;
        for part in expected {
            ensure!(answer.contains(part), "{command}\n{answer}\nlacks {part}");
        }
    }
    println!("    {} commands, with the answers that it shows", ANSWERS.len());
    stack.verified().await?;
    Ok(())
}

/// Puts the table in its place.
///
/// # Errors
/// If there is no such place.
pub(crate) fn write(table: &str) -> Result<()> {
    let readme = fs::read_to_string(README)?;
    let (before, rest) = readme.split_once(BEGIN).context("the README has no place for the table")?;
    let (_, after) = rest.split_once(END).context("the README's place for the table does not end")?;
    fs::write(README, format!("{before}{BEGIN}\n{table}\n{END}{after}"))?;
    Ok(())
}
