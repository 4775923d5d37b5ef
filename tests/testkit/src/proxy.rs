//! A TCP proxy between a service and a server, which can simulate network faults.

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
    /// Connections are reset, and new ones are too, at once.
    Drops,
    /// Connections stay open and new ones are accepted, but nothing passes, not even the end of a connection.
    Stalls,
    /// What the client sends passes, and what the server answers does not.
    OneWay,
    /// Everything is delayed by 100 ms.
    Slow,
    /// Half of the next chunk that a client sends passes, and then the connection is reset.
    Tears,
}

/// The side that sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
}

/// The delay of a slow network.
const DELAY: std::time::Duration = std::time::Duration::from_millis(100);

impl Network {
    /// Whether the data of this side is held back.
    fn stalls(self, sender: Sender) -> bool {
        self == Self::Stalls || (self == Self::OneWay && sender == Sender::Server)
    }
}

/// Forwards connections to a server on this machine. They are closed when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// The address to connect to.
    pub address: SocketAddr,
    network: watch::Sender<Network>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Starts a proxy to `port` on this machine.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn to(port: u16) -> Result<Self> {
        // Not one of the ports that the operating system assigns to clients; see `free_port`.
        let listener = TcpListener::bind(("127.0.0.1", test_servers::free_port()?)).await?;
        let address = listener.local_addr()?;
        let (network, state) = watch::channel(Network::Passes);
        let accepting = tokio::spawn(accept(listener, port, state)).abort_handle();
        Ok(Self { address, network, accepting })
    }

    /// Sets the state of the network from now on.
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

async fn accept(listener: TcpListener, port: u16, network: watch::Receiver<Network>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connection(client, port, network.clone()));
    }
}

async fn connection(client: TcpStream, port: u16, mut network: watch::Receiver<Network>) {
    if network.wait_for(|network| *network != Network::Stalls).await.is_ok_and(|network| *network == Network::Drops) {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    // Small packets are forwarded at once, as they were sent.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = forward(Sender::Client, from_client, to_server, network.clone()) => {}
        () = forward(Sender::Server, from_server, to_client, network) => {}
    }
}

/// Returns when the connection is to be closed.
async fn forward(
    sender: Sender,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = network.wait_for(|network| !network.stalls(sender)).await.map(|now| *now);
        let Ok(now @ (Network::Passes | Network::OneWay | Network::Slow | Network::Tears)) = now else { return };
        tokio::select! {
            biased;
            () = changed(&mut network, now) => {}
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

/// Resolves when the network is no longer in this state.
async fn changed(network: &mut watch::Receiver<Network>, now: Network) {
    let _ = network.wait_for(|network| *network != now).await;
}
