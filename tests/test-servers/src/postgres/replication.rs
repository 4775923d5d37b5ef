//! Streaming replication: a standby, its promotion, and the return of a server as a standby.

use std::{fs, io::Write as _, path::Path, process::Command, thread, time::Instant};

use anyhow::{Result, ensure};

use super::{POSTGRES, Postgres, output};
use crate::{keeper::Keeper, ports, programs::PostgresPrograms, wait};

/// The name under which a standby connects to its primary.
const STANDBY: &str = "standby";

impl Postgres {
    /// Creates a standby of this server, on a port of its own, with the same superuser. It is asynchronous until
    /// [`Self::wait_for_standby`].
    ///
    /// # Errors
    /// If the copy cannot be made, or the standby does not start; the error contains the tail of its log.
    pub fn standby(&self) -> Result<Self> {
        let mut options = self.options.clone();
        options.disk_megabytes = None;
        let mut standby = Self {
            keeper: Keeper::new("postgres", "QUIT", &["postgres", "nobody"])?,
            programs: PostgresPrograms::find()?,
            options,
            port: ports::free()?,
            password: self.password.clone(),
            version: self.version.clone(),
        };
        standby.rejoin(self)?;
        Ok(standby)
    }

    /// Replaces this server's data by a copy of `primary`'s, and starts it as its standby.
    ///
    /// # Errors
    /// If the copy cannot be made, or the server does not start; the error contains the tail of its log.
    pub fn rejoin(&mut self, primary: &Self) -> Result<()> {
        self.crash()?;
        let data = self.keeper.data();
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let place = format!("host=127.0.0.1 port={} user={POSTGRES} application_name={STANDBY}", primary.port);
        let mut copy = self.keeper.command(&self.programs.pg_basebackup)?;
        copy.env("PGPASSWORD", &self.password).arg("--dbname").arg(place).arg("--pgdata").arg(&data);
        output(copy.args(["--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf", "--no-sync"]))?;
        // Not the primary's: once promoted, this server would wait for itself.
        let mut settings = fs::File::options().append(true).open(data.join("postgresql.auto.conf"))?;
        writeln!(settings, "synchronous_standby_names = ''")?;
        self.restart()
    }

    /// Makes a standby a primary. Returns when it accepts writes.
    ///
    /// # Errors
    /// If it is not a standby.
    pub fn promote(&self) -> Result<()> {
        let promoted = self.psql(POSTGRES, "SELECT pg_promote(true, 60)")?;
        ensure!(promoted.trim() == "t", "the standby was not promoted: {promoted}");
        Ok(())
    }

    /// From now on each commit waits until the standby has it on its disk (`synchronous_standby_names`), or no longer.
    /// If it does, returns when the standby is connected.
    ///
    /// # Errors
    /// If no standby connects.
    pub fn wait_for_standby(&self, waits: bool) -> Result<()> {
        let names = if waits { STANDBY } else { "" };
        self.psql(POSTGRES, &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"))?;
        self.psql(POSTGRES, "SELECT pg_reload_conf()")?;
        let connected = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        self.until("no standby is connected", connected, if waits { "1" } else { "0" })
    }

    /// From now on a standby receives nothing more from its primary. What is committed from then on is lost if this
    /// standby is promoted.
    ///
    /// # Errors
    /// If it is unreachable, or does not stop receiving.
    pub fn stop_receiving(&self) -> Result<()> {
        self.psql(POSTGRES, "ALTER SYSTEM SET primary_conninfo = ''")?;
        self.psql(POSTGRES, "SELECT pg_reload_conf()")?;
        self.until("it still receives", "SELECT count(*) FROM pg_stat_wal_receiver", "0")
    }

    /// Stops the server in an orderly way: sessions are ended, and a standby has received everything.
    ///
    /// # Errors
    /// If the signal cannot be sent.
    pub fn stop(&mut self) -> Result<()> {
        self.keeper.end(POSTGRES, "INT")
    }

    /// Ends the server with SIGKILL. Returns when its sessions have ended, too, which notice it by themselves.
    ///
    /// # Errors
    /// If the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        let server = self.keeper.child(POSTGRES)?.id();
        let sessions = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap_or_default();
        let memory = fs::read_to_string(self.keeper.data().join("postmaster.pid"))?;
        self.keeper.end(POSTGRES, "KILL")?;
        let deadline = Instant::now() + wait::LIMIT;
        for session in sessions.split_whitespace() {
            while Path::new("/proc").join(session).join("exe").exists() {
                ensure!(Instant::now() < deadline, "the process {session} of the killed server does not end");
                thread::sleep(wait::PAUSE);
            }
        }
        // The seventh line has the key and the id of the shared memory, which would remain.
        if let Some(id) = memory.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            // It may be gone already.
            let _ = Command::new("ipcrm").args(["-m", id]).output();
        }
        Ok(())
    }

    /// Waits until `sql` returns `value`.
    fn until(&self, otherwise: &str, sql: &str, value: &str) -> Result<()> {
        let deadline = Instant::now() + wait::LIMIT;
        while self.psql(POSTGRES, sql)?.trim() != value {
            ensure!(Instant::now() < deadline, "{otherwise}, even after {:?}", wait::LIMIT);
            thread::sleep(wait::PAUSE);
        }
        Ok(())
    }
}
