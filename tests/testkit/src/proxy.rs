//! A TCP proxy between a service and a server, which can fail as a network does.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::AbortHandle,
};

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It works.
    Passes,
    /// Connections are torn off, and new ones at once too.
    Drops,
    /// Connections stay open, new ones are accepted, and nothing goes through: not even their end.
    Stalls,
    /// What the client sends goes through, and what the server answers does not.
    OneWay,
    /// Everything takes a tenth of a second more.
    Slow,
    /// The next thing that a client sends goes through by half, and then the connection is torn off.
    Tears,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
}

/// How late everything comes where the network is slow.
const DELAY: std::time::Duration = std::time::Duration::from_millis(100);

impl Network {
    /// Whether what this side sends waits.
    fn stalls(self, sender: Sender) -> bool {
        self == Self::Stalls || (self == Self::OneWay && sender == Sender::Server)
    }
}

/// Forwards connections to a server on this machine. Dropped, it tears them off.
#[derive(Debug)]
pub struct Proxy {
    /// Where to connect to.
    pub address: SocketAddr,
    network: watch::Sender<Network>,
    accepting: AbortHandle,
}

impl Proxy {
    /// A proxy to `port` on this machine.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn to(port: u16) -> Result<Self> {
        // Not one of those that the system gives to clients; see there.
        let listener = TcpListener::bind(("127.0.0.1", test_servers::free_port()?)).await?;
        let address = listener.local_addr()?;
        let (network, weather) = watch::channel(Network::Passes);
        let accepting = tokio::spawn(accept(listener, port, weather)).abort_handle();
        Ok(Self { address, network, accepting })
    }

    /// From now on the network does this.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Network::Drops);
    }
}

async fn accept(listener: TcpListener, port: u16, weather: watch::Receiver<Network>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connection(client, port, weather.clone()));
    }
}

async fn connection(client: TcpStream, port: u16, mut weather: watch::Receiver<Network>) {
    if weather.wait_for(|network| *network != Network::Stalls).await.is_ok_and(|network| *network == Network::Drops) {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    // Whoever sends in small pieces has its reasons.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = forward(Sender::Client, from_client, to_server, weather.clone()) => {}
        () = forward(Sender::Server, from_server, to_client, weather) => {}
    }
}

/// Returns when the connection is to be torn off.
async fn forward(
    sender: Sender,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = weather.wait_for(|network| !network.stalls(sender)).await.map(|now| *now);
        let Ok(now @ (Network::Passes | Network::OneWay | Network::Slow | Network::Tears)) = now else { return };
        tokio::select! {
            biased;
            () = changed(&mut weather, now) => {}
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(size) => {
                    if now == Network::Slow {
                        tokio::time::sleep(DELAY).await;
                    }
                    let torn = now == Network::Tears && sender == Sender::Client;
                    let size = if torn { size / 2 } else { size };
                    if to.write_all(&buffer[..size]).await.is_err() || torn {
                        return;
                    }
                }
            }
        }
    }
}

/// Resolves when the network no longer does this.
async fn changed(weather: &mut watch::Receiver<Network>, now: Network) {
    let _ = weather.wait_for(|network| *network != now).await;
}
