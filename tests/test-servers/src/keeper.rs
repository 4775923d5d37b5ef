//! Ends servers and removes their data, however the process that started them ends.
//!
//! A keeper consists of a temporary directory and two small shell processes:
//!
//! - The *watchdog* waits on a pipe whose other end only this process holds. The kernel closes it when this process
//!   ends, for whatever reason. Then the watchdog kills the servers' process group, waits for processes that have left
//!   the group and name the directory in their command line, and removes the directory. Dropping the keeper also closes
//!   the pipe, so a normal end and a crash take the same path.
//! - The *anchor* only leads the process group in which all servers are started. As long as it or a server exists, the
//!   group's id is not reused, so the watchdog cannot kill an unrelated process. Its input is a pipe that the watchdog
//!   holds, so it does not outlive the watchdog.
//!
//! A server is in the group before it executes its first instruction, so none can be missed. The group also shields the
//! servers from the terminal's Ctrl-C.

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
/// It ignores the signals that are sent to the group, and ends when the watchdog closes the pipe.
const ANCHOR: &str = "trap '' HUP INT QUIT TERM; read -r _";

#[derive(Debug)]
pub(crate) struct Keeper {
    /// Open as long as the servers may run.
    pipe: Option<ChildStdin>,
    watchdog: Child,
    anchor: Child,
    children: BTreeMap<&'static str, Child>,
    account: Option<Account>,
    /// Usually unmounted by the watchdog; kept here in case the watchdog was killed.
    disk: Option<Disk>,
    /// Usually removed by the watchdog; kept here in case the watchdog was killed.
    directory: TempDir,
}

impl Keeper {
    /// Creates a keeper with an empty directory. `signal` ends its servers immediately, without regard to their data.
    /// `accounts` are the users to run the servers as if this process is root.
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

    /// Returns the directory of the servers' data. The watchdog uses the same name.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// Limits the size of [`Self::data`], which must exist and be empty.
    pub(crate) fn limit_disk(&mut self, megabytes: u32) -> Result<()> {
        let data = self.data();
        let disk = Disk::mount(&data, megabytes).with_context(|| format!("cannot mount {}", data.display()))?;
        self.disk = Some(disk);
        self.account.map_or(Ok(()), |account| account.owns(&data))
    }

    /// Returns the disk, if it is limited.
    pub(crate) fn disk(&self) -> Result<&Disk> {
        self.disk.as_ref().context("the server's disk has no limit")
    }

    /// Returns the user that must own the servers' files, if it is not this process's own.
    pub(crate) fn account(&self) -> Option<Account> {
        self.account
    }

    /// Creates a command in the servers' process group, as their user, in the directory, with only `PATH` from this
    /// environment.
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

    /// Starts a server under a name. An earlier server of that name must have ended.
    pub(crate) fn start(&mut self, name: &'static str, command: &mut Command) -> Result<&mut Child> {
        ensure!(!self.runs(name), "{name} runs already");
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        self.children.insert(name, child);
        self.child(name)
    }

    pub(crate) fn child(&mut self, name: &'static str) -> Result<&mut Child> {
        self.children.get_mut(name).with_context(|| format!("{name} was not started"))
    }

    pub(crate) fn process(&self, name: &'static str) -> Option<u32> {
        self.children.get(name).map(Child::id)
    }

    pub(crate) fn runs(&mut self, name: &'static str) -> bool {
        self.children.get_mut(name).is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a signal, given by name, to one server, and waits until it has ended. If it has already ended, this is not
    /// an error.
    pub(crate) fn end(&mut self, name: &'static str, signal: &str) -> Result<()> {
        if self.runs(name) {
            let child = self.child(name)?;
            // There is no safe call to send a signal, and small containers have no `kill` program. The child has not
            // been waited for yet, so its process id is not reused.
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
        // Usually the watchdog is still alive here. If it is not, kill the servers directly.
        if !matches!(self.watchdog.try_wait(), Ok(None)) {
            self.children.values_mut().for_each(|child| drop(child.kill()));
        }
        drop(self.pipe.take());
        // The watchdog waits until the group is empty, and an ended child belongs to it until it is waited for.
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
    fn a_process_that_has_left_the_group_is_waited_for() {
        let keeper = Keeper::new("keeper", "TERM", &["nobody"]).unwrap();
        let (directory, ended) = (keeper.directory().join("data"), tempfile::NamedTempFile::new().unwrap());
        // It ends by itself a moment after its input is closed, and writes that it has.
        let script = "read -r _; sleep 0.3; echo ended >\"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(ended.path()).arg(&directory).process_group(0).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdin.take());
        let waiting = std::thread::spawn(move || child.wait());
        drop(keeper);
        assert_eq!(std::fs::read_to_string(ended.path()).unwrap(), "ended\n");
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_keeper_whose_watchdog_was_killed_still_ends_what_it_started() {
        let mut keeper = keeper_of_a_sleeper();
        let directory = keeper.directory().to_owned();
        keeper.watchdog.kill().unwrap();
        keeper.watchdog.wait().unwrap();
        // This returns only when the sleeper has ended.
        drop(keeper);
        assert!(!directory.exists());
    }
}
