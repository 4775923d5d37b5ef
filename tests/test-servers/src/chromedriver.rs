//! A private ChromeDriver, which starts browsers and controls them.

use std::{fs::File, net::TcpStream, path::Path, time::Duration};

use anyhow::Result;

use crate::{keeper::Keeper, ports, programs::BrowserPrograms, wait};

/// How long a connection to the own machine may take.
const CONNECT: Duration = Duration::from_secs(1);

/// A running ChromeDriver. Dropping it ends it and its browsers, and removes their profiles.
#[derive(Debug)]
pub struct ChromeDriver {
    keeper: Keeper,
    programs: BrowserPrograms,
    port: u16,
}

impl ChromeDriver {
    /// Starts a driver on a free port. Returns when it accepts connections.
    ///
    /// # Errors
    /// If the programs are missing, which the error says how to install, or the driver does not start.
    pub fn start() -> Result<Self> {
        let programs = BrowserPrograms::find()?;
        let mut keeper = Keeper::new("chromedriver", "KILL", &["nobody"])?;
        let (port, log) = (ports::free()?, keeper.directory().join("log"));
        let mut command = keeper.command(&programs.chromedriver)?;
        command
            .arg(format!("--port={port}"))
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        // Profiles, caches and sockets are removed together with this directory.
        for variable in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            command.env(variable, keeper.directory());
        }
        let child = keeper.start("chromedriver", &mut command)?;
        let address = ([127, 0, 0, 1], port).into();
        wait::for_start("chromedriver", child, &log, || TcpStream::connect_timeout(&address, CONNECT).ok())?;
        Ok(Self { keeper, programs, port })
    }

    /// Returns the URL of its WebDriver interface, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the path of the browser that it is to start.
    #[must_use]
    pub fn browser(&self) -> &Path {
        &self.programs.browser
    }

    /// Returns the temporary directory with its log and the profiles.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.keeper.directory()
    }
}
