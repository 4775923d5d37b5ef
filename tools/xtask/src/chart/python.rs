//! A Python with the packages that render the chart and know the schemas of Kubernetes.

use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Under `target`, so that `cargo clean` removes it and nothing is installed outside the checkout.
const DIRECTORY: &str = "target/tools/chart";
const LOG: &str = "target/tools/chart/install.log";
/// Helm 4 as a library, and the schemas of Kubernetes, of which each version of the package has some more.
const PACKAGES: [&str; 2] = ["helm-python-sdk==0.2.2", "kubernetes-validate==1.37.0"];

/// Why there is no such Python here.
#[derive(Debug)]
pub(super) struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the path of a Python with these packages. The first time, it installs them in an environment of their own.
pub(super) fn with_packages() -> Result<PathBuf, Missing> {
    let environment = Path::new(DIRECTORY).join("python");
    let python = environment.join("bin/python");
    let installed = environment.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) && python.is_file() {
        return Ok(python);
    }
    println!("\nThe Python packages {} are installed into {DIRECTORY}, once (400 MB).", PACKAGES.join(" and "));
    install(&environment, &python)?;
    fs::write(&installed, wanted).map_err(|error| Missing(format!("cannot write {}: {error}", installed.display())))?;
    Ok(python)
}

fn install(environment: &Path, python: &Path) -> Result<(), Missing> {
    fs::create_dir_all(DIRECTORY).map_err(|error| Missing(format!("cannot make {DIRECTORY}: {error}")))?;
    let create = ["-m", "venv", "--clear"].map(Path::new);
    let why = "there is no Python 3 with the module venv (Debian: apt-get install python3-venv)";
    run(Command::new("python3").args(create).arg(environment), why)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout", "20", "--retries", "2"];
    let why = "the packages helm-python-sdk and kubernetes-validate could not be installed from PyPI";
    run(Command::new(python).args(pip).arg("--only-binary=:all:").args(PACKAGES), why)
}

/// Runs a command whose output goes to a log.
fn run(command: &mut Command, why: &str) -> Result<(), Missing> {
    let log =
        File::options().create(true).append(true).open(LOG).map_err(|error| Missing(format!("{LOG}: {error}")))?;
    let other = log.try_clone().map_err(|error| Missing(format!("{LOG}: {error}")))?;
    let status = command.stdin(Stdio::null()).stdout(log).stderr(other).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Missing(format!("{why} (see {LOG})"))),
    }
}
