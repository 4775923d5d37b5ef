//! Installs programs from the distribution's packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::files;

/// The script that Debian's packages run before they start or restart a service; exit code 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs packages, with apt's output visible.
///
/// # Errors
/// If this is not Debian or Ubuntu, this process is not root, or apt fails; the error explains what to do by hand.
pub(crate) fn packages(names: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install --no-install-recommends {}", names.join(" "));
    if !is_debian() {
        bail!(
            "programs are missing: PostgreSQL (initdb, postgres, psql), RabbitMQ (rabbitmq-server), HAProxy (haproxy), \
             or Chromium or Google Chrome with its driver (chromedriver). On Debian: {by_hand}"
        );
    }
    ensure!(is_root()?, "packages are missing, and only root can install them:\n\n    sudo {by_hand}");

    eprintln!("    {} missing here: installed now, once", names.join(" and "));
    let _no_starts = NoStarts::declare(Path::new(POLICY))?;
    // With outdated lists, apt could request versions that the mirrors no longer have.
    apt(&["update"])?;
    // --no-upgrade leaves installed packages unchanged.
    let install = ["install", "--yes", "--no-install-recommends", "--no-upgrade"];
    apt(&[&install, names].concat()).with_context(|| format!("by hand it would be: {by_hand}"))
}

fn apt(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Wait for another running apt.
    command.args(["--quiet", "-o", "DPkg::Lock::Timeout=300"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
    let status = command.status().context("cannot run apt-get")?;
    ensure!(status.success(), "apt-get {} failed ({status})", args.join(" "));
    Ok(())
}

fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let ids = release.lines().filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")));
    ids.flat_map(|ids| ids.trim_matches('"').split_whitespace()).any(|id| ["debian", "ubuntu"].contains(&id))
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output().context("cannot run id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// As long as this value exists, packages do not start services.
struct NoStarts {
    made: Option<PathBuf>,
}

impl NoStarts {
    /// An existing policy belongs to the administrator and is not changed. (In containers, it usually forbids starts.)
    fn declare(policy: &Path) -> Result<Self> {
        if policy.exists() {
            return Ok(Self { made: None });
        }
        // If this process is killed and cannot remove the file, the script allows starts from then on.
        let process = std::process::id();
        let script = format!(
            "#!/bin/sh\n# Of `cargo xtask test` while it installs packages; may be removed.\n\
             [ -d /proc/{process} ] && exit 101\nexit 0\n"
        );
        files::write(policy, &script, 0o755)?;
        Ok(Self { made: Some(policy.to_owned()) })
    }
}

impl Drop for NoStarts {
    fn drop(&mut self) {
        self.made.take().map(fs::remove_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_not_started_while_we_install_and_a_policy_that_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        let no_starts = NoStarts::declare(&policy).unwrap();
        assert_eq!(Command::new(&policy).status().unwrap().code(), Some(101));
        drop(NoStarts::declare(&policy).unwrap());
        assert!(policy.exists());
        drop(no_starts);
        assert!(!policy.exists());
    }
}
