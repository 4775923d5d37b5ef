//! Runs the README's commands against the stack, and writes the results into its table.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::{
    docker::{TIMEOUT, run},
    headline,
    stack::Stack,
};

const README: &str = "README.md";
const BEGIN: &str = "<!-- What follows is written by `cargo xtask stack-test --write`. -->\n";
const END: &str = "<!-- Until here. -->";

/// Parts of the responses to the commands, in their order.
const RESPONSES: [&[&str]; 6] = [
    &[r#""item_sku":"SKU-ABC","quantity":10,"reserved":0"#],
    &[r#""order_id":1"#, r#""status":"CONFIRMED","payment_status":"SUCCEEDED""#],
    &[r#""order_id":2,"status":"FAILED","payment_status":"FAILED""#, "payment declined"],
    &[r#""quantity":8,"reserved":0"#],
    &[r#""order_id":3,"status":"FAILED","payment_status":"NOT_ATTEMPTED""#, "insufficient stock"],
    &["OrderCreated", "StockReserved", "PaymentFailed", "StockReleased", "OrderFailed"],
];

/// Checks that the README's curl commands work on the stack as they do on the standalone system.
///
/// # Errors
/// If a command gets another response.
pub(crate) async fn scenarios(stack: &Stack) -> Result<()> {
    headline("the README's commands");
    let readme = fs::read_to_string(README)?;
    let here = stack.client().await?.addresses;
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<String> =
        blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut commands = lines.iter().filter(|line| line.starts_with("curl"));
    for expected in RESPONSES {
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
    println!("    {} commands, with the answers that it shows", RESPONSES.len());
    stack.verified().await?;
    Ok(())
}

/// Writes the table into the README.
///
/// # Errors
/// If the README has no markers for the table.
pub(crate) fn write(table: &str) -> Result<()> {
    let readme = fs::read_to_string(README)?;
    let (before, rest) = readme.split_once(BEGIN).context("the README has no place for the table")?;
    let (_, after) = rest.split_once(END).context("the README's place for the table does not end")?;
    fs::write(README, format!("{before}{BEGIN}\n{table}\n{END}{after}"))?;
    Ok(())
}
