use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Stdio},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use testkit::{
    client::Client,
    process::{Program, Running},
    programs::Programs,
};

fn program() -> Result<Program> {
    let path = Programs::of_this_build()?.path("order-system")?;
    Ok(Program::at(path.to_str().context("the path is text")?))
}

/// The program with the three services and the console, and with data of its own.
#[derive(Debug)]
pub struct TestSystem {
    /// The process; it is killed when this is dropped.
    pub running: Running,
    /// A client of the services' APIs.
    pub client: Client,
    data: TempDir,
}

impl TestSystem {
    /// Starts it with these arguments.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        Self::on(tempfile::tempdir()?, arguments)
    }

    fn on(data: TempDir, arguments: &[&str]) -> Result<Self> {
        let running = program()?.start(data.path(), arguments)?;
        let client = Client::new(running.addresses)?;
        Ok(Self { running, client, data })
    }

    /// Returns the directory with the databases of the services.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Returns the address of the console.
    ///
    /// # Errors
    /// If it was started without.
    pub fn console(&self) -> Result<SocketAddr> {
        self.running.console.context("the program has a console")
    }

    /// Kills it, and returns what `Stopped::restart` needs.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn crash(self) -> Result<Stopped> {
        let addresses = self.running.addresses;
        self.running.crash()?;
        Ok(Stopped { data: self.data, addresses })
    }
}

/// A system that does not run.
#[derive(Debug)]
pub struct Stopped {
    data: TempDir,
    addresses: [SocketAddr; 3],
}

impl Stopped {
    /// Starts it again with its data, at the addresses that it had.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn restart(self) -> Result<TestSystem> {
        let [order, inventory, payment] = self.addresses;
        let listen = [("order", order), ("inventory", inventory), ("payment", payment)];
        let arguments = listen.map(|(service, address)| format!("--{service}-listen={address}"));
        TestSystem::on(self.data, &arguments.each_ref().map(String::as_str))
    }
}

/// The console as a process of its own, for services that run elsewhere.
#[derive(Debug)]
pub struct ConsoleAlone {
    /// Its address.
    pub address: SocketAddr,
    child: Child,
}

impl ConsoleAlone {
    /// Starts it for the services at these addresses: order, inventory, payment.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn start([order, inventory, payment]: [SocketAddr; 3]) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], test_servers::free_port()?));
        let mut command = program()?.command();
        command.arg("console").arg(format!("--console-listen={address}"));
        command.arg(format!("--order-url=http://{order}"));
        command.arg(format!("--inventory-url=http://{inventory}"));
        command.arg(format!("--payment-url=http://{payment}"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let console = Self { address, child };
        let http = reqwest::Client::builder().no_proxy().build()?;
        let health = format!("http://{address}/health");
        let answers = || async { Ok(http.get(&health).send().await.is_ok()) };
        // The client's addresses do not matter: only its way to wait is used.
        Client::new([order, inventory, payment])?.until("the console answers", answers, |answers| *answers).await?;
        Ok(console)
    }
}

impl Drop for ConsoleAlone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
