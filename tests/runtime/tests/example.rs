//! The example of `saga-runtime` does what its README says, also when it is killed.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::tempdir;
use testkit::process::cargo;

/// Builds the example with the features of the whole workspace, as the tests are, and returns the program.
fn build() -> PathBuf {
    let arguments = ["build", "--locked", "--workspace", "--example", "parcels", "--message-format", "json"];
    let output = cargo(&arguments).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the example does not build");
    let artifacts = String::from_utf8(output.stdout).unwrap();
    let artifacts = artifacts.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut programs = artifacts.filter_map(|artifact| artifact["executable"].as_str().map(PathBuf::from));
    programs.next_back().expect("cargo names the program")
}

/// Runs it, and returns the two numbers in its last line.
fn run(program: &Path, directory: &Path) -> (u64, u64) {
    let output = Command::new(program).arg(directory).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let last = said.lines().next_back().unwrap();
    let numbers = last.strip_prefix("shipped ").and_then(|rest| rest.split_once(", billed ")).expect(&said);
    (numbers.0.parse().unwrap(), numbers.1.parse().unwrap())
}

#[test]
fn every_parcel_is_billed_once_also_when_it_is_killed() {
    let (program, directory) = (build(), tempdir().unwrap());
    assert_eq!(run(&program, directory.path()), (1_000, 1_000));
    for hundreds in 1..=5 {
        let mut killed = Command::new(&program).arg(directory.path()).stdout(Stdio::piped()).spawn().unwrap();
        let progress = BufReader::new(killed.stdout.take().unwrap()).lines();
        assert_eq!(progress.take(hundreds).count(), hundreds, "it ended before it was killed");
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    let (shipped, billed) = run(&program, directory.path());
    assert!(shipped >= 2_000 + 1_500, "only {shipped}");
    assert_eq!(shipped, billed);
}
