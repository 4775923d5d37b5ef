//! Finds the programs of the servers and of the browser.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::install;

/// Finds the programs, or installs them: on Debian or Ubuntu, as root, from the distribution's packages. Installed
/// servers are not started, and running ones are not restarted, unless the machine has its own `policy-rc.d` that
/// allows it.
///
/// # Errors
/// If they are missing and cannot be installed; the error explains what to install.
pub fn ensure() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    install::packages(&missing)?;
    PostgresPrograms::find()?;
    RabbitMqPrograms::find().map(drop)
}

/// Finds the browser of the tests and its driver, or installs them as [`ensure`] does.
///
/// # Errors
/// If they are missing and cannot be installed; the error explains what to install.
pub fn ensure_browser() -> Result<()> {
    if BrowserPrograms::find().is_ok() {
        return Ok(());
    }
    install::packages(&["chromium", "chromium-driver"])?;
    BrowserPrograms::find().map(drop)
}

/// Finds the load balancer of the tests, or installs it as [`ensure`] does.
///
/// # Errors
/// If it is missing and cannot be installed; the error explains what to install.
pub fn ensure_haproxy() -> Result<()> {
    if haproxy().is_err() {
        install::packages(&["haproxy"])?;
    }
    haproxy().map(drop)
}

/// Returns the path of HAProxy, which Debian has in a directory that is not on everybody's PATH.
pub(crate) fn haproxy() -> Result<PathBuf> {
    let known = Path::new("/usr/sbin/haproxy").to_owned();
    let found = on_path("haproxy").or_else(|| Some(known).filter(|path| path.is_file()));
    found.with_context(|| no_program("HAProxy", "haproxy"))
}

/// Returns the Debian packages of the missing programs.
fn missing() -> Vec<&'static str> {
    let postgresql = PostgresPrograms::find().is_err().then_some("postgresql");
    let rabbitmq = RabbitMqPrograms::find().is_err().then_some("rabbitmq-server");
    postgresql.into_iter().chain(rabbitmq).collect()
}

#[derive(Debug)]
pub(crate) struct PostgresPrograms {
    pub(crate) initdb: PathBuf,
    pub(crate) postgres: PathBuf,
    pub(crate) psql: PathBuf,
    pub(crate) pg_basebackup: PathBuf,
}

impl PostgresPrograms {
    pub(crate) fn find() -> Result<Self> {
        // A link in the PATH leads to the directory with all programs of its version.
        let linked = on_path("initdb").and_then(|initdb| initdb.canonicalize().ok());
        let linked = linked.and_then(|initdb| initdb.parent().map(Path::to_owned));
        // On Debian, the server's programs are not on the PATH.
        let versions = versions_in("/usr/lib/postgresql").into_iter().map(|version| version.join("bin"));
        let complete = |bin: PathBuf| {
            let [initdb, postgres] = ["initdb", "postgres"].map(|name| bin.join(name));
            let client =
                |name: &str| Some(bin.join(name)).filter(|program| program.is_file()).or_else(|| on_path(name));
            let (psql, pg_basebackup) = (client("psql")?, client("pg_basebackup")?);
            (initdb.is_file() && postgres.is_file()).then_some(Self { initdb, postgres, psql, pg_basebackup })
        };
        linked.into_iter().chain(versions).find_map(complete).with_context(|| no_program("PostgreSQL", "postgresql"))
    }
}

#[derive(Debug)]
pub(crate) struct RabbitMqPrograms {
    pub(crate) rabbitmq_server: PathBuf,
    pub(crate) rabbitmqctl: PathBuf,
    pub(crate) epmd: PathBuf,
}

impl RabbitMqPrograms {
    pub(crate) fn find() -> Result<Self> {
        // The PATH is searched last, because Debian's /usr/sbin/rabbitmq-server is a wrapper that requires root,
        // switches to the user rabbitmq, and drops the environment.
        let known = ["/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin"].map(|bin| Path::new(bin).join("rabbitmq-server"));
        let server = known.into_iter().find(|server| server.is_file()).or_else(|| on_path("rabbitmq-server"));
        let complete = |server: PathBuf| {
            let rabbitmq_server = server.canonicalize().ok()?;
            let rabbitmqctl = rabbitmq_server.parent()?.join("rabbitmqctl");
            rabbitmqctl.is_file().then_some(Self { rabbitmq_server, rabbitmqctl, epmd: epmd()? })
        };
        server.and_then(complete).with_context(|| no_program("RabbitMQ", "rabbitmq-server"))
    }
}

#[derive(Debug)]
pub(crate) struct BrowserPrograms {
    pub(crate) browser: PathBuf,
    pub(crate) chromedriver: PathBuf,
}

impl BrowserPrograms {
    pub(crate) fn find() -> Result<Self> {
        let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(on_path);
        let found = browser.and_then(|browser| Some(Self { browser, chromedriver: on_path("chromedriver")? }));
        found.with_context(|| no_program("Chromium with its driver", "chromium chromium-driver"))
    }
}

/// Returns Erlang's port mapper, from the PATH or the newest runtime.
fn epmd() -> Option<PathBuf> {
    let homes = ["/usr/lib/erlang", "/usr/local/lib/erlang", "/opt/erlang/lib/erlang"];
    let runtimes = homes.into_iter().flat_map(versions_in).map(|runtime| runtime.join("bin/epmd"));
    on_path("epmd").or_else(|| runtimes.into_iter().find(|epmd| epmd.is_file()))
}

fn no_program(server: &str, package: &str) -> String {
    format!(
        "{server} is not installed. `cargo xtask test` installs it on Debian and Ubuntu if root runs it; by hand that \
         is\n\n    apt-get install --no-install-recommends {package}"
    )
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Returns the directories in `parent` whose names contain a version, newest first.
fn versions_in(parent: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    let version = |folder: &Path| {
        let name = folder.file_name()?.to_str()?;
        let numbers: Vec<u32> =
            name.split(|char: char| !char.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        (!numbers.is_empty()).then_some(numbers)
    };
    let mut versions: Vec<_> = folders.filter_map(|folder| Some((version(&folder)?, folder))).collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_and_the_newest_comes_first() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["9.6", "17", "15", "erts-13.1.5", "lib"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        let found = versions_in(parent.path().to_str().unwrap());
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["17", "15", "erts-13.1.5", "9.6"]);
    }
}
