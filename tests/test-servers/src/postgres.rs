//! A PostgreSQL server.

use std::{fs, path::Path, process::Command, thread, time::Instant};

use anyhow::{Context as _, Result, ensure};

use crate::{files, keeper::Keeper, ports, programs::PostgresPrograms, wait};

/// The superuser, and the database that is there from the start.
const POSTGRES: &str = "postgres";

/// What may be different from one server to another.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings as in `postgresql.conf`, name and value; they win over the ones made here.
    pub settings: Vec<(String, String)>,
    /// The size of the disk under its data, in MiB. That is a tmpfs, which only root may mount (see [`crate::disk`]).
    pub disk_megabytes: Option<u32>,
}

/// A running PostgreSQL with a superuser of its own. Dropped, it is stopped and its data is removed.
#[derive(Debug)]
pub struct Postgres {
    keeper: Keeper,
    programs: PostgresPrograms,
    options: Options,
    port: u16,
    password: String,
    version: String,
}

impl Postgres {
    /// Makes a cluster and starts its server; returns when it takes connections.
    ///
    /// # Errors
    /// If the programs are missing, or the server does not start: with the tail of its log.
    pub fn start(options: Options) -> Result<Self> {
        let programs = PostgresPrograms::find()?;
        // SIGQUIT is the immediate shutdown. After a SIGKILL the server's shared memory would stay in the system.
        let mut keeper = Keeper::new("postgres", "QUIT", &["postgres", "nobody"])?;
        let version = version(&mut keeper.command(&programs.postgres)?)?;
        if let Some(megabytes) = options.disk_megabytes {
            fs::create_dir(keeper.data())?;
            keeper.limit_disk(megabytes)?;
        }
        let (port, password) = (ports::free()?, files::secret()?);
        let mut postgres = Self { keeper, programs, options, port, password, version };
        postgres.make_cluster()?;
        postgres.start_again()?;
        Ok(postgres)
    }

    /// The URL of one of its databases, for the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{POSTGRES}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The URL of the database that is always there, `postgres`: the place to create others from.
    #[must_use]
    pub fn maintenance_url(&self) -> String {
        self.url(POSTGRES)
    }

    /// The port on 127.0.0.1, the same one after [`Self::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The temporary directory with its data and its log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.keeper.directory()
    }

    /// Such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Errors
    /// If there is one of that name.
    pub fn create_database(&self, name: &str) -> Result<String> {
        self.psql(POSTGRES, &format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")))?;
        Ok(self.url(name))
    }

    /// Runs SQL in a database as the superuser; returns the rows, unaligned: `a|b` and a line end.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses a statement: what it said.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.keeper.command(&self.programs.psql)?;
        // By the environment, for all users see the arguments of a process.
        psql.env("PGPASSWORD", &self.password);
        psql.args(["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--host=127.0.0.1", "--username", POSTGRES, "--port", &self.port.to_string(), "--dbname", database]);
        output(psql.args(["--command", sql]))
    }

    /// Ends it at once, as a crash would: no checkpoint, sessions torn off. The next start recovers from the log.
    ///
    /// # Errors
    /// If it cannot be signalled. Not where it has ended already.
    pub fn stop_immediately(&mut self) -> Result<()> {
        self.keeper.end(POSTGRES, "QUIT")
    }

    /// Starts it on its data and its port; returns when it takes connections.
    ///
    /// # Errors
    /// If it runs, or does not start: with the tail of its log.
    pub fn start_again(&mut self) -> Result<()> {
        let data = self.keeper.data();
        let log = self.keeper.directory().join("log");
        let log_file = fs::File::options().create(true).append(true).open(&log)?;
        let mut command = self.keeper.command(&self.programs.postgres)?;
        command.arg("-D").arg(&data).stdout(log_file.try_clone()?).stderr(log_file);
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &self.port.to_string()),
            ("unix_socket_directories", &self.keeper.directory().to_string_lossy()),
            ("max_connections", "200"),
            // The defaults, said aloud: a benchmark on a server that skips them would be worth nothing.
            ("fsync", "on"),
            ("synchronous_commit", "on"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (name, value) in own.iter().chain(&self.options.settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let server = self.keeper.start(POSTGRES, &mut command)?;
        let id = server.id().to_string();
        wait::for_start("PostgreSQL", server, &log, || {
            // pg_ctl waits by this file too: the first line says whose it is, the eighth how far that is.
            let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
            let mut lines = file.lines();
            (lines.next()?.trim() == id && lines.nth(6)?.trim() == "ready").then_some(())
        })
    }

    /// Starts it where it has ended, and returns when it takes connections. It may also be about to end, or to recover by
    /// itself.
    ///
    /// # Errors
    /// As for [`Self::start_again`], or where it runs and takes no connection.
    pub fn recover(&mut self) -> Result<()> {
        let deadline = Instant::now() + wait::LIMIT;
        while self.keeper.runs(POSTGRES) {
            match self.psql(POSTGRES, "SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error.context("PostgreSQL does not recover")),
                Err(_) => thread::sleep(wait::PAUSE),
            }
        }
        self.start_again()
    }

    /// Fills the disk under its data, which must have a limit.
    ///
    /// # Errors
    /// If it has none, or cannot be filled.
    pub fn fill_disk(&self) -> Result<()> {
        self.keeper.disk()?.fill()
    }

    /// Frees what [`Self::fill_disk`] has filled.
    ///
    /// # Errors
    /// If nothing was filled.
    pub fn free_disk(&self) -> Result<()> {
        self.keeper.disk()?.free()
    }

    fn make_cluster(&self) -> Result<()> {
        let password_file = self.keeper.directory().join("password");
        files::write(&password_file, &self.password, 0o600)?;
        self.keeper.account().map_or(Ok(()), |account| account.owns(&password_file))?;
        let mut initdb = self.keeper.command(&self.programs.initdb)?;
        initdb.args(["--username", POSTGRES, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]);
        // It need not be on the disk before the server writes its first own change, which will be.
        initdb.args(["--no-sync"]).arg("--pwfile").arg(&password_file).arg("--pgdata").arg(self.keeper.data());
        output(&mut initdb).map(drop)
    }
}

fn version(postgres: &mut Command) -> Result<String> {
    let said = output(postgres.arg("--version"))?;
    let number = said.split_whitespace().find(|word| word.starts_with(|char: char| char.is_ascii_digit()));
    number.map(str::to_owned).with_context(|| format!("PostgreSQL says as its version: {said}"))
}

/// Runs a command to its end; returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let program = command.get_program().display();
    ensure!(output.status.success(), "{program} failed ({}):\n{said}{complaint}", output.status);
    Ok(said)
}
