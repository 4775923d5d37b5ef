//! The real program as a child process.

use std::{
    collections::HashMap,
    ffi::OsString,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

/// How long the program may take to start before that counts as a failure. Far longer than it needs, even if cargo
/// starts it and has to compile something.
const START: Duration = Duration::from_secs(900);

/// The program `order-system`, or a command that starts it.
#[derive(Debug, Clone)]
pub struct Program(Vec<OsString>);

/// The root of the workspace.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn cargo_path() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns cargo with these arguments, in the root of the workspace, as if typed in a shell: without the variables that
/// an outer cargo has set, because of which it would compile some dependencies again.
#[must_use]
pub fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(cargo_path());
    cargo.args(arguments).current_dir(WORKSPACE);
    forget_the_cargo_around(&mut cargo);
    cargo
}

fn forget_the_cargo_around(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
}

/// A running `order-system`. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// The addresses of order, inventory and payment.
    pub addresses: [SocketAddr; 3],
    /// The address of the console, if it was not left out.
    pub console: Option<SocketAddr>,
    /// Everything that it printed before it was ready.
    pub welcome: String,
}

impl Program {
    /// Returns the program at this path.
    #[must_use]
    pub fn at(path: &str) -> Self {
        Self(vec![path.into()])
    }

    /// Returns the program as the README starts it: by `cargo run --release`. Compiles it first, if necessary.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn cargo_run_release() -> Result<Self> {
        let status = cargo(&["build", "--release"]).status().context("cannot run cargo")?;
        if !status.success() {
            bail!("order-system does not compile");
        }
        let manifest = Path::new(WORKSPACE).join("Cargo.toml");
        let words = [
            "run".into(),
            "--quiet".into(),
            "--release".into(),
            "--manifest-path".into(),
            manifest.into(),
            "--".into(),
        ];
        Ok(Self(std::iter::once(cargo_path()).chain(words).collect()))
    }

    /// Returns the program with these environment variables.
    #[must_use]
    pub fn with_variables(self, variables: &[(&str, &Path)]) -> Self {
        let assignment = |(name, value): &(&str, &Path)| {
            let mut assignment = OsString::from(format!("{name}="));
            assignment.push(value);
            assignment
        };
        // `env` replaces itself by the program, so the process id is the same.
        Self(std::iter::once("env".into()).chain(variables.iter().map(assignment)).chain(self.0).collect())
    }

    /// Returns the program with this limit of open files, which it cannot raise.
    #[must_use]
    pub fn with_open_files(self, limit: u32) -> Self {
        // The shell replaces itself by the program, so the process id is the same.
        let words = ["sh".into(), "-c".into(), format!("ulimit -n {limit} && exec \"$0\" \"$@\"").into()];
        Self(words.into_iter().chain(self.0).collect())
    }

    /// Returns a command that runs the program without the settings for it in this process's environment.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).stdin(Stdio::null());
        forget_the_cargo_around(&mut command);
        for setting in [
            "DATA_DIR",
            "RUST_LOG",
            "LOG_FORMAT",
            "ORDER_LISTEN",
            "INVENTORY_LISTEN",
            "PAYMENT_LISTEN",
            "CONSOLE_LISTEN",
            "CONSOLE_URL",
            "TLS_CERT",
            "TLS_KEY",
            "CA_FILE",
            "NO_CONSOLE",
            "ALLOW_ANONYMOUS",
            "JWKS_FILE",
            "JWT_ISSUER",
            "JWT_AUDIENCE",
            "JWT_OWNER_CLAIM",
            "ADMIN_TOKEN",
            "ADMIN_TOKEN_FILE",
            "SYSTEM_ID",
            "DEAD_LETTER_SYSTEMS",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ] {
            command.env_remove(setting);
        }
        command
    }

    /// Starts it on `data_dir`, on free ports, with more `arguments`. Its log is a file next to the data.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start(&self, data_dir: &Path, arguments: &[&str]) -> Result<Running> {
        std::fs::create_dir_all(data_dir)?;
        let log = std::fs::File::options().create(true).append(true).open(data_dir.join("log"))?;
        let mut command = self.command();
        command.arg("--data-dir").arg(data_dir);
        // As a variable, because builds without a console, which are measured beside this one, would refuse a flag.
        command.env("CONSOLE_LISTEN", "127.0.0.1:0");
        for service in ["order", "inventory", "payment"] {
            if !arguments.iter().any(|argument| argument.starts_with(&format!("--{service}-listen"))) {
                command.arg(format!("--{service}-listen=127.0.0.1:0"));
            }
        }
        let child = command.args(arguments).stdout(Stdio::piped()).stderr(log).spawn()?;
        Running::wait_until_ready(child).with_context(|| format!("see {}", data_dir.join("log").display()))
    }

    /// Makes an API key for the services on `data_dir`, and returns it.
    ///
    /// # Errors
    /// If it is not made.
    pub fn create_key(&self, data_dir: &Path, owner: &str, scopes: &[&str]) -> Result<String> {
        let mut command = self.command();
        command.args(["keys", "create", "--owner", owner, "--data-dir"]).arg(data_dir);
        let made = command.args(scopes.iter().flat_map(|scope| ["--scope", scope])).output()?;
        ensure!(made.status.success(), "no API key: {}", String::from_utf8_lossy(&made.stderr));
        Ok(String::from_utf8(made.stdout)?.trim().to_owned())
    }

    /// Runs the audit on `data_dir`, after waiting at most `wait` for what is in progress.
    ///
    /// # Errors
    /// If the program cannot be run.
    pub fn verify(&self, data_dir: &Path, wait: &str) -> Result<Output> {
        Ok(self.command().args(["verify", "--wait", wait, "--data-dir"]).arg(data_dir).output()?)
    }
}

impl Running {
    fn wait_until_ready(mut child: Child) -> Result<Self> {
        let stdout = child.stdout.take().context("the output is a pipe")?;
        let (lines, said) = mpsc::channel();
        // The task continues to read, so that the program never writes into a closed or full pipe.
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)));
        });
        let (mut welcome, mut addresses) = (String::new(), HashMap::new());
        loop {
            match said.recv_timeout(START) {
                Ok(line) => {
                    welcome.push_str(&line);
                    welcome.push('\n');
                    let (name, rest) = line.trim().split_once(' ').unwrap_or_default();
                    let rest = rest.trim();
                    let rest = rest.strip_prefix("http://").or_else(|| rest.strip_prefix("https://"));
                    let address = rest.and_then(|rest| rest.split_whitespace().next());
                    if let Some(address) = address.and_then(|address| address.parse::<SocketAddr>().ok()) {
                        addresses.insert(name.to_owned(), address);
                    }
                    if line.starts_with("Ctrl-C") {
                        break;
                    }
                }
                Err(_) => {
                    let _ = child.kill();
                    bail!("order-system did not get ready; it ended with {:?} and said: {welcome}", child.wait());
                }
            }
        }
        let of = |name| addresses.get(name).copied();
        match (of("order"), of("inventory"), of("payment")) {
            (Some(order), Some(inventory), Some(payment)) => {
                Ok(Self { child, addresses: [order, inventory, payment], console: of("console"), welcome })
            }
            _ => {
                let _ = child.kill();
                bail!("order-system does not say where it listens: {welcome}")
            }
        }
    }

    /// Returns its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a crash would: with SIGKILL, so that nothing is flushed.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn crash(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal by its name, such as `TERM`.
    ///
    /// # Errors
    /// If there is no program `kill`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { bail!("kill -s {name} failed") }
    }

    /// Sends it SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    /// If the signal cannot be sent.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
