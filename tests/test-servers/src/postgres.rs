//! A private PostgreSQL server.

mod replication;

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::{files, keeper::Keeper, ports, programs::PostgresPrograms, rabbitmq::Certificate, wait};

/// The name of the superuser and of the initial database.
const POSTGRES: &str = "postgres";

/// The options of a server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings as in `postgresql.conf`, as name and value. They override the defaults of this module.
    pub settings: Vec<(String, String)>,
    /// Size of the server's data disk in MiB. It is a tmpfs, which only root may mount (see [`crate::disk`]).
    pub disk_megabytes: Option<u32>,
    /// The certificate of the server. `None` means that it has no TLS.
    pub tls: Option<Certificate>,
    /// Who may connect how, as in `pg_hba.conf`. `None` means whoever has a password.
    pub hba: Option<String>,
}

/// A running PostgreSQL with its own superuser. Dropping it stops the server and removes its data.
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
    /// Creates a cluster and starts its server. Returns when the server accepts connections.
    ///
    /// # Errors
    /// If the programs are missing, or the server does not start; the error contains the tail of its log.
    pub fn start(options: Options) -> Result<Self> {
        let programs = PostgresPrograms::find()?;
        // SIGQUIT is the immediate shutdown. After a SIGKILL, the server's shared memory would remain in the system.
        let mut keeper = Keeper::new("postgres", "QUIT", &["postgres", "nobody"])?;
        let version = version(&mut keeper.command(&programs.postgres)?)?;
        if let Some(megabytes) = options.disk_megabytes {
            fs::create_dir(keeper.data())?;
            keeper.limit_disk(megabytes)?;
        }
        let (port, password) = (ports::free()?, files::secret()?);
        let mut postgres = Self { keeper, programs, options, port, password, version };
        postgres.write_files()?;
        postgres.make_cluster()?;
        postgres.restart()?;
        Ok(postgres)
    }

    /// Returns the URL of a database, with the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{POSTGRES}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Returns the URL of the database `postgres`, which always exists and from which others can be created.
    #[must_use]
    pub fn maintenance_url(&self) -> String {
        self.url(POSTGRES)
    }

    /// Returns the port on 127.0.0.1. It stays the same after [`Self::restart`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the temporary directory with its data and its log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.keeper.directory()
    }

    /// Returns the version, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Errors
    /// If a database of that name exists.
    pub fn create_database(&self, name: &str) -> Result<String> {
        self.psql(POSTGRES, &format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")))?;
        Ok(self.url(name))
    }

    /// Runs SQL in a database as the superuser. Returns the rows unaligned: `a|b` and a newline.
    ///
    /// # Errors
    /// If the server is unreachable or rejects a statement; the error contains its message.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.keeper.command(&self.programs.psql)?;
        // Passed in the environment, because all users can see the arguments of a process.
        psql.env("PGPASSWORD", &self.password);
        psql.args(["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--host=127.0.0.1", "--username", POSTGRES, "--port", &self.port.to_string(), "--dbname", database]);
        output(psql.args(["--command", sql]))
    }

    /// Runs a script of psql in a database, as `user`, who has the superuser's password. `variables` are in its
    /// environment.
    ///
    /// # Errors
    /// If the server is unreachable or rejects a statement; the error contains its message.
    pub fn script(&self, database: &str, user: &str, script: &str, variables: &[(&str, &str)]) -> Result<String> {
        let mut psql = self.keeper.command(&self.programs.psql)?;
        psql.env("PGPASSWORD", &self.password).envs(variables.iter().copied());
        psql.args(["--no-psqlrc", "--no-password", "--quiet", "--host=127.0.0.1", "--username", user]);
        psql.args(["--port", &self.port.to_string(), "--dbname", database, "--file=-"]);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("it has an input")?.write_all(script.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "psql failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Returns the superuser's password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Stops the server at once, as in a crash: without a checkpoint, and with sessions aborted. The next start
    /// recovers from the log.
    ///
    /// # Errors
    /// If the signal cannot be sent. It is not an error if the server has already ended.
    pub fn crash(&mut self) -> Result<()> {
        self.keeper.end(POSTGRES, "QUIT")
    }

    /// Starts the server again with its data and its port. Returns when it accepts connections.
    ///
    /// # Errors
    /// If it is running, or does not start; the error contains the tail of its log.
    pub fn restart(&mut self) -> Result<()> {
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
            // These are the defaults. They are set explicitly because benchmarks depend on them.
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
            // pg_ctl also waits for this file: the first line has the process id, the eighth has the state.
            let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
            let mut lines = file.lines();
            let is_this = lines.next()?.trim() == id;
            (is_this && ["ready", "standby"].contains(&lines.nth(6)?.trim())).then_some(())
        })
    }

    /// Starts the server if it has ended, and returns when it accepts connections. The server may also be about to end,
    /// or be recovering by itself.
    ///
    /// # Errors
    /// The same as those of [`Self::restart`], and if it runs but does not accept connections.
    pub fn recover(&mut self) -> Result<()> {
        let deadline = Instant::now() + wait::LIMIT;
        while self.keeper.runs(POSTGRES) {
            match self.psql(POSTGRES, "SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error.context("PostgreSQL does not recover")),
                Err(_) => thread::sleep(wait::PAUSE),
            }
        }
        self.restart()
    }

    /// Fills the data disk, which must be limited.
    ///
    /// # Errors
    /// If the disk is not limited, or cannot be filled.
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

    /// Writes the certificate and the rules for connections, and sets them.
    fn write_files(&mut self) -> Result<()> {
        let Options { tls, hba, .. } = self.options.clone();
        let (chain, key) = tls.map(|Certificate { chain, key }| (chain, key)).unzip();
        if chain.is_some() {
            self.options.settings.push(("ssl".to_owned(), "on".to_owned()));
        }
        let files = [("ssl_cert_file", chain), ("ssl_key_file", key), ("hba_file", hba)];
        for (setting, content) in files {
            let Some(content) = content else { continue };
            let path = self.keeper.directory().join(setting);
            files::write(&path, &content, 0o400)?;
            self.keeper.account().map_or(Ok(()), |account| account.owns(&path))?;
            self.options.settings.push((setting.to_owned(), path.display().to_string()));
        }
        Ok(())
    }

    fn make_cluster(&self) -> Result<()> {
        let password_file = self.keeper.directory().join("password");
        files::write(&password_file, &self.password, 0o600)?;
        self.keeper.account().map_or(Ok(()), |account| account.owns(&password_file))?;
        let mut initdb = self.keeper.command(&self.programs.initdb)?;
        initdb.args(["--username", POSTGRES, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]);
        // The cluster need not be on disk until the server writes its first own change, which will be synced.
        initdb.args(["--no-sync"]).arg("--pwfile").arg(&password_file).arg("--pgdata").arg(self.keeper.data());
        output(&mut initdb).map(drop)
    }
}

fn version(postgres: &mut Command) -> Result<String> {
    let stdout = output(postgres.arg("--version"))?;
    let number = stdout.split_whitespace().find(|word| word.starts_with(|char: char| char.is_ascii_digit()));
    number.map(str::to_owned).with_context(|| format!("postgres --version printed no version: {stdout}"))
}

/// Runs a command and returns its output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let program = command.get_program().display();
    ensure!(output.status.success(), "{program} failed ({}):\n{stdout}{stderr}", output.status);
    Ok(stdout)
}
