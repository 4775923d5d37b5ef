//! What ends servers and removes their data, however the process that started them ends.
//!
//! A keeper is a temporary directory and two small shells:
//!
//! - the *watchdog* waits on a pipe whose other end only this process holds. The kernel closes it when this process
//!   ends, for whatever reason, and that sets the watchdog off: it ends the servers' process group, then removes the
//!   directory. Dropping the keeper closes the pipe too, so a normal end and a crash go the same way.
//! - the *anchor* only leads the process group that all servers are started in. While it or a server is there, the
//!   group's number is not given to anybody else, so the watchdog cannot hit a stranger. Its input is a pipe that the
//!   watchdog holds, so it does not outlive the watchdog either.
//!
//! A server is in the group before it runs its first instruction: there is no moment at which it could be missed. The
//! group also keeps the terminal's Ctrl-C from the servers.

use std::{
    collections::BTreeMap,
    env,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{account::Account, disk::Disk};

const WATCHDOG: &str = include_str!("keeper.sh");
/// It is in the group that is signalled, and ends when the watchdog lets go of it.
const ANCHOR: &str = "trap '' HUP INT QUIT TERM; read -r _";

#[derive(Debug)]
pub(crate) struct Keeper {
    /// Open for as long as the servers may live.
    pipe: Option<ChildStdin>,
    watchdog: Child,
    anchor: Child,
    children: BTreeMap<&'static str, Child>,
    account: Option<Account>,
    /// Unmounted by the watchdog, and here for the same case as the directory.
    disk: Option<Disk>,
    /// Removed by the watchdog; here for the case that somebody has killed that.
    directory: TempDir,
}

impl Keeper {
    /// A keeper with an empty directory. `signal` is what ends its servers, without regard to their data; `accounts`
    /// are the users to run them as if we are root.
    pub(crate) fn new(name: &str, signal: &str, accounts: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix(&format!("test-{name}-")).tempdir()?;
        let account = Account::to_step_down_to(accounts, directory.path())?;
        account.map_or(Ok(()), |account| account.owns(directory.path()))?;

        let mut anchor = Command::new("sh");
        anchor.args(["-c", ANCHOR]).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut anchor = anchor.current_dir("/").spawn().context("cannot run sh")?;
        let hold = anchor.stdin.take().context("the anchor's input is a pipe")?;

        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog", &anchor.id().to_string(), signal]).arg(directory.path());
        watchdog.process_group(0).stdin(Stdio::piped()).stdout(hold).stderr(Stdio::null());
        let mut watchdog = watchdog.current_dir("/").spawn().context("cannot run sh")?;
        let pipe = watchdog.stdin.take();
        Ok(Self { pipe, watchdog, anchor, children: BTreeMap::new(), account, disk: None, directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the servers keep their data. The watchdog knows this name too.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// Limits the disk under [`Self::data`], which is there and empty, to this size.
    pub(crate) fn limit_disk(&mut self, megabytes: u32) -> Result<()> {
        let data = self.data();
        let disk = Disk::mount(&data, megabytes).with_context(|| format!("cannot mount {}", data.display()))?;
        self.disk = Some(disk);
        self.account.map_or(Ok(()), |account| account.owns(&data))
    }

    /// The disk, where it is limited.
    pub(crate) fn disk(&self) -> Result<&Disk> {
        self.disk.as_ref().context("the server's disk has no limit")
    }

    /// Whom files for the servers must be given to, if not to us.
    pub(crate) fn account(&self) -> Option<Account> {
        self.account
    }

    /// A command in the servers' group, as their user, in the directory, with nothing of our environment but `PATH`.
    pub(crate) fn command(&self, program: &Path) -> Result<Command> {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        command.env("LANG", "C.UTF-8").current_dir(self.directory.path()).stdin(Stdio::null());
        command.process_group(self.anchor.id().try_into()?);
        if let Some(account) = self.account {
            account.runs(&mut command);
        }
        Ok(command)
    }

    /// Starts a server under a name; one that ran under it must have ended.
    pub(crate) fn start(&mut self, name: &'static str, command: &mut Command) -> Result<&mut Child> {
        ensure!(!self.runs(name), "{name} runs already");
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        self.children.insert(name, child);
        self.child(name)
    }

    pub(crate) fn child(&mut self, name: &'static str) -> Result<&mut Child> {
        self.children.get_mut(name).with_context(|| format!("{name} was not started"))
    }

    pub(crate) fn runs(&mut self, name: &'static str) -> bool {
        self.children.get_mut(name).is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a signal to one server, by the signal's name, and waits until that has ended. Not an error if it has
    /// already.
    pub(crate) fn end(&mut self, name: &'static str, signal: &str) -> Result<()> {
        if self.runs(name) {
            let child = self.child(name)?;
            // There is no safe call for it, and `kill` as a program is missing in small containers. The child is not
            // waited for yet, so its number is still its own.
            let kill = ["-c", r#"kill -s "$0" "$1""#, signal, &child.id().to_string()];
            let sent = Command::new("sh").args(kill).output().context("cannot run sh")?;
            ensure!(sent.status.success(), "cannot signal {name}: {}", String::from_utf8_lossy(&sent.stderr));
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The watchdog must live until here; where it does not, there is this much left to do.
        if !matches!(self.watchdog.try_wait(), Ok(None)) {
            self.children.values_mut().for_each(|child| drop(child.kill()));
        }
        drop(self.pipe.take());
        // The watchdog waits until the group is empty, and an ended child is in it until it is waited for.
        self.children.values_mut().chain([&mut self.anchor, &mut self.watchdog]).for_each(|child| drop(child.wait()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper_of_a_sleeper() -> Keeper {
        let mut keeper = Keeper::new("keeper", "TERM", &["nobody"]).unwrap();
        let mut sleep = keeper.command(Path::new("sleep")).unwrap();
        keeper.start("sleep", sleep.arg("1000")).unwrap();
        keeper
    }

    #[test]
    fn what_has_ended_can_be_started_again_and_what_runs_cannot() {
        let mut keeper = keeper_of_a_sleeper();
        let mut sleep = keeper.command(Path::new("sleep")).unwrap();
        assert!(keeper.start("sleep", sleep.arg("1000")).is_err());
        keeper.end("sleep", "KILL").unwrap();
        keeper.end("sleep", "KILL").unwrap();
        keeper.start("sleep", &mut sleep).unwrap();
        assert!(keeper.runs("sleep"));
    }

    #[test]
    fn a_keeper_whose_watchdog_was_killed_still_ends_what_it_started() {
        let mut keeper = keeper_of_a_sleeper();
        let directory = keeper.directory().to_owned();
        keeper.watchdog.kill().unwrap();
        keeper.watchdog.wait().unwrap();
        // It returns only when the sleeper has ended.
        drop(keeper);
        assert!(!directory.exists());
    }
}
