//! One command that is run for the user to see, under a headline.

use std::{
    env, fmt,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
    time::Instant,
};

use anyhow::{Context as _, ensure};

/// A titled command. Its `Display` is the line that runs it by hand, from the root of the checkout.
pub(crate) struct Step {
    title: &'static str,
    /// The program as a person would call it.
    name: String,
    command: Command,
    /// Variables that mean nothing after this run.
    passing: Vec<String>,
}

impl Step {
    /// A cargo command, by the cargo that runs this program.
    pub(crate) fn cargo<'a>(title: &'static str, args: impl IntoIterator<Item = &'a str>) -> Self {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Self::new(title, "cargo".to_owned(), Command::new(cargo)).args(args)
    }

    /// A program of this checkout.
    pub(crate) fn program<'a>(title: &'static str, path: &Path, args: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(title, path.display().to_string(), Command::new(path)).args(args)
    }

    fn new(title: &'static str, name: String, mut command: Command) -> Self {
        // `cargo run` describes xtask in these. Build scripts that watch them would run again, and their crates be
        // compiled again, at each change between this program and a plain `cargo test`.
        let about_xtask = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (variable, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(about_xtask)) {
            command.env_remove(variable);
        }
        Self { title, name, command, passing: Vec::new() }
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.command.args(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, variable: &str, value: &str) -> Self {
        self.command.env(variable, value);
        self
    }

    /// As [`Self::env`], for a value that holds during this run only: it is not shown as a part of the command.
    pub(crate) fn passing_env(mut self, variable: &str, value: &str) -> Self {
        self.passing.push(variable.to_owned());
        self.env(variable, value)
    }

    /// Runs it and says how long it took.
    ///
    /// # Errors
    /// If it cannot be started or fails: what failed, and how to run it alone.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        let status = self.start()?;
        ensure!(status.success(), "{} failed ({status}). To run this step alone:\n\n    {self}", self.title);
        println!("    ok: {} took {:.1} s", self.title, start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Runs it and passes on its exit code, without a word after its own last one.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn run_last(mut self) -> anyhow::Result<ExitCode> {
        let code = self.start()?.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }

    /// Whether it succeeds; its output is dropped.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.output().is_ok_and(|output| output.status.success())
    }

    /// The command, to be run in another way than the ones here.
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
        let shown = |variable: &std::ffi::OsStr| !self.passing.iter().any(|passing| variable == passing.as_str());
        for (variable, value) in set.filter(|(variable, _)| shown(variable)) {
            write!(f, "{}={} ", variable.display(), quoted(&value.to_string_lossy()))?;
        }
        write!(f, "{}", quoted(&self.name))?;
        self.command.get_args().try_for_each(|arg| write!(f, " {}", quoted(&arg.to_string_lossy())))
    }
}

/// The text as one word of a POSIX shell.
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
            Step::cargo("docs", ["doc", "a b", "it's", ""]).env("RUSTDOCFLAGS", "-D warnings").passing_env("URL", "x");
        assert_eq!(step.to_string(), r"RUSTDOCFLAGS='-D warnings' cargo doc 'a b' 'it'\''s' ''");
    }

    #[test]
    fn a_failed_step_says_how_to_run_it_alone() {
        let error = Step::cargo("nonsense", ["no-such-command"]).run().unwrap_err().to_string();
        assert!(error.starts_with("nonsense failed (exit status: 101)"), "{error}");
        assert!(error.ends_with("\n    cargo no-such-command"), "{error}");
    }
}
