//! A command that is run and shown to the user under a headline.

use std::{
    env, fmt,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
    time::Instant,
};

use anyhow::{Context as _, ensure};

/// A command with a title. Its `Display` is the shell command that runs it, from the root of the checkout.
pub(crate) struct Step {
    title: &'static str,
    /// The program's name as shown to the user.
    name: String,
    command: Command,
    /// Variables that are valid only during this run, and are not shown.
    hidden: Vec<String>,
}

impl Step {
    /// Creates a cargo command, with the cargo that runs this program.
    pub(crate) fn cargo<'a>(title: &'static str, args: impl IntoIterator<Item = &'a str>) -> Self {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Self::new(title, "cargo".to_owned(), Command::new(cargo)).args(args)
    }

    /// Creates a command for a program of this checkout.
    pub(crate) fn program<'a>(title: &'static str, path: &Path, args: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(title, path.display().to_string(), Command::new(path)).args(args)
    }

    fn new(title: &'static str, name: String, mut command: Command) -> Self {
        // `cargo run` sets these variables for xtask. Build scripts that watch them would run again, and their crates
        // would be compiled again, at each change between this program and a plain `cargo test`.
        let about_xtask = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (variable, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(about_xtask)) {
            command.env_remove(variable);
        }
        Self { title, name, command, hidden: Vec::new() }
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.command.args(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, variable: &str, value: &str) -> Self {
        self.command.env(variable, value);
        self
    }

    /// Sets a variable like [`Self::env`], but does not show it, because its value is valid only during this run.
    pub(crate) fn hidden_env(mut self, variable: &str, value: &str) -> Self {
        self.hidden.push(variable.to_owned());
        self.env(variable, value)
    }

    /// Runs the command and prints how long it took.
    ///
    /// # Errors
    /// If it cannot be started or fails; the error contains the command to run it alone.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        let status = self.start()?;
        ensure!(status.success(), "{} failed ({status}). To run this step alone:\n\n    {self}", self.title);
        println!("    ok: {} took {:.1} s", self.title, start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Runs the command and returns its exit code, without printing anything after its output.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn run_last(mut self) -> anyhow::Result<ExitCode> {
        let code = self.start()?.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }

    /// Runs the command without showing its output, and returns whether it succeeded.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.output().is_ok_and(|output| output.status.success())
    }

    /// Returns the command, to run it in another way.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    fn start(&mut self) -> anyhow::Result<ExitStatus> {
        println!("\n==> {}\n    {self}", self.title);
        self.command.status().with_context(|| format!("{}: cannot start {}", self.title, self.name))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.command.get_envs().filter_map(|(variable, value)| Some((variable, value?)));
        let shown = |variable: &std::ffi::OsStr| !self.hidden.iter().any(|hidden| variable == hidden.as_str());
        for (variable, value) in set.filter(|(variable, _)| shown(variable)) {
            write!(f, "{}={} ", variable.display(), quoted(&value.to_string_lossy()))?;
        }
        write!(f, "{}", quoted(&self.name))?;
        self.command.get_args().try_for_each(|arg| write!(f, " {}", quoted(&arg.to_string_lossy())))
    }
}

/// Quotes a text as one word for a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./=:,@%+".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_shown_as_a_line_for_the_shell() {
        let step =
            Step::cargo("docs", ["doc", "a b", "it's", ""]).env("RUSTDOCFLAGS", "-D warnings").hidden_env("URL", "x");
        assert_eq!(step.to_string(), r"RUSTDOCFLAGS='-D warnings' cargo doc 'a b' 'it'\''s' ''");
    }

    #[test]
    fn a_failed_step_shows_how_to_run_it_alone() {
        let error = Step::cargo("nonsense", ["no-such-command"]).run().unwrap_err().to_string();
        assert!(error.starts_with("nonsense failed (exit status: 101)"), "{error}");
        assert!(error.ends_with("\n    cargo no-such-command"), "{error}");
    }
}
