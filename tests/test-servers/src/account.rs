//! The user that a server runs as.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// An unprivileged user that a server runs as if the tests run as root. PostgreSQL refuses to run as root, and RabbitMQ
/// does not need to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// If this process runs as root, returns the first of `names` that exists on the machine. Otherwise returns `None`.
    ///
    /// # Errors
    /// If this process runs as root and none of the users exists.
    pub(crate) fn to_step_down_to(names: &[&str], owned_by_us: &Path) -> Result<Option<Self>> {
        // There is no safe call for the own user id, but a fresh directory has it as its owner.
        if fs::metadata(owned_by_us)?.uid() != 0 {
            return Ok(None);
        }
        let account = names.iter().find_map(|name| Some(Self { uid: id("-u", name).ok()?, gid: id("-g", name).ok()? }));
        account.map(Some).with_context(|| format!("root cannot run this server, and there is no user {names:?}"))
    }

    pub(crate) fn owns(self, path: &Path) -> Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot hand over {}", path.display()))
    }

    pub(crate) fn runs(self, command: &mut Command) {
        // This also drops root's supplementary groups.
        command.uid(self.uid).gid(self.gid);
    }
}

fn id(which: &str, name: &str) -> Result<u32> {
    let output = Command::new("id").args([which, name]).output().context("cannot run id")?;
    ensure!(output.status.success(), "there is no user {name}");
    String::from_utf8(output.stdout)?.trim().parse().context("an id is a number")
}
