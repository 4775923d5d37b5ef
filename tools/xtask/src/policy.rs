//! Checks the dependency policy of `deny.toml` with cargo-deny.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{not_checked::NotChecked, step::Step};

const VERSION: &str = "0.20.2";
/// Under `target`, so that `cargo clean` removes it and nothing is installed outside the checkout.
const TOOLS: &str = "target/tools";
const FETCH_LOG: &str = "target/tools/advisory-db-fetch.log";
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Checks the policy. Returns a notice about what could not be checked, to be repeated at the end.
///
/// # Errors
/// If a dependency violates the policy, if cargo-deny can be neither found nor built, or, with `CI_STRICT`, if
/// something could not be checked.
pub(crate) fn check() -> anyhow::Result<Option<String>> {
    let deny = CargoDeny::find_or_install()?;
    // cargo-deny inspects the dependencies for every platform; a build downloads only those for this one.
    Step::cargo("sources of all dependencies", ["fetch", "--locked"]).run()?;
    // Errors only: `cargo deny check bans` also lists the crates that exist in two versions.
    let rules = ["--offline", "--log-level", "error", "check", "bans", "licenses", "sources"];
    deny.step("dependency policy", rules).run()?;
    if fetch_advisories(&deny)? {
        deny.step("advisories", ["--offline", "--log-level", "error", "check", "advisories"]).run()?;
        return Ok(None);
    }
    let why = format!("the advisory database could not be fetched (see {FETCH_LOG})");
    NotChecked::new("advisories are", &why).notice().map(Some)
}

/// Fetches the advisory database. Returns false if that fails or takes too long, as without a network.
fn fetch_advisories(deny: &CargoDeny) -> anyhow::Result<bool> {
    fs::create_dir_all(TOOLS).with_context(|| format!("cannot make {TOOLS}"))?;
    let log = File::create(FETCH_LOG).with_context(|| format!("cannot write {FETCH_LOG}"))?;
    let mut fetch = deny.step("advisory database", ["fetch", "db"]).into_command();
    // git must fail instead of asking for input.
    fetch.env("GIT_TERMINAL_PROMPT", "0").stdout(log.try_clone()?).stderr(log);
    succeeds_within(&mut fetch, FETCH_LIMIT)
}

fn succeeds_within(command: &mut Command, limit: Duration) -> anyhow::Result<bool> {
    let mut child = command.spawn()?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// cargo-deny: either the one installed on this machine, or one built in [`TOOLS`].
struct CargoDeny {
    built_here: Option<PathBuf>,
}

impl CargoDeny {
    fn find_or_install() -> anyhow::Result<Self> {
        let path = Path::new(TOOLS).join("bin").join(format!("cargo-deny{}", env::consts::EXE_SUFFIX));
        let installed = Self { built_here: None };
        if installed.step("", ["--version"]).succeeds() {
            return Ok(installed);
        }
        let here = Self { built_here: Some(path) };
        if !here.step("", ["--version"]).succeeds() {
            println!("\ncargo-deny is not installed: it is built once, into {TOOLS}, which takes a few minutes.");
            // Not optimised: it runs for a second, and would take twice as long to build.
            let install = ["install", "cargo-deny", "--locked", "--version", VERSION, "--root", TOOLS, "--debug"];
            Step::cargo("cargo-deny", install).run()?;
        }
        Ok(here)
    }

    fn step<'a>(&self, title: &'static str, args: impl IntoIterator<Item = &'a str>) -> Step {
        match &self.built_here {
            None => Step::cargo(title, ["deny"]).args(args),
            Some(path) => Step::program(title, path, args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_has_not_succeeded() {
        let cargo = |args| Step::cargo("", args).into_command();
        assert!(succeeds_within(cargo(["--version"]).stdout(std::process::Stdio::null()), FETCH_LIMIT).unwrap());
        assert!(!succeeds_within(cargo(["no-such-command"]).stderr(std::process::Stdio::null()), FETCH_LIMIT).unwrap());
        assert!(!succeeds_within(&mut cargo(["--version"]), Duration::ZERO).unwrap());
    }
}
