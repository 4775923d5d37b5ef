//! A proxy to the server that can drop all packets, like a firewall or a machine that lost its power, or that can lose
//! the server's confirms.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lapin::uri::AMQPUri;
use saga_rabbitmq::RabbitMq;
use shared_events::Service;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::JoinSet,
};

use super::server::{Vhost, broker};

/// Ends with its value.
pub(crate) struct Proxy {
    address: AMQPUri,
    stall: Arc<Notify>,
    swallows: Arc<AtomicBool>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(vhost: &Vhost) -> Self {
        let mut address: AMQPUri = vhost.url(None).parse().unwrap();
        let server = (address.authority.host.clone(), address.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        address.authority.port = listener.local_addr().unwrap().port();
        // One second is the shortest possible heartbeat.
        address.query.heartbeat = Some(1);
        let stall = Arc::new(Notify::new());
        let stalled = Arc::clone(&stall);
        let swallows = Arc::new(AtomicBool::new(false));
        let swallowing = Arc::clone(&swallows);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (server, stalled, swallowing) = (server.clone(), Arc::clone(&stalled), Arc::clone(&swallowing));
                lines.spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    tokio::select! {
                        _ = copy(&mut from_client, &mut to_server) => {}
                        _ = forward(&mut from_server, &mut to_client, &swallowing) => {}
                        // Both ends stay open, and nothing is read.
                        () = stalled.notified() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, stall, swallows, _accepting: accepting }
    }

    /// The broker of `service` through this proxy, with the shortest heartbeat.
    pub(crate) fn broker(&self, service: Service) -> RabbitMq {
        broker(service, self.address.to_string())
    }

    /// The address of this proxy, with the credentials of the administrator.
    pub(crate) fn url(&self) -> String {
        self.address.to_string()
    }

    /// From now on the open connections carry nothing, in either direction. Later ones do.
    pub(crate) fn stall(&self) {
        self.stall.notify_waiters();
    }

    /// Sets whether the server's confirms, and nothing else, are lost on all connections.
    pub(crate) fn swallow_confirms(&self, swallow: bool) {
        self.swallows.store(swallow, Ordering::Release);
    }
}

/// Reads what the server sends, frame by frame: type, channel, length, that many bytes, and an end mark.
async fn forward(server: &mut OwnedReadHalf, client: &mut OwnedWriteHalf, swallows: &AtomicBool) -> io::Result<()> {
    const METHOD: u8 = 1;
    const BASIC_ACK: [u8; 4] = [0, 60, 0, 80];
    loop {
        let mut head = [0; 7];
        server.read_exact(&mut head).await?;
        let [kind, _, _, length @ ..] = head;
        let mut rest = vec![0; u32::from_be_bytes(length) as usize + 1];
        server.read_exact(&mut rest).await?;
        if kind == METHOD && rest.starts_with(&BASIC_ACK) && swallows.load(Ordering::Acquire) {
            continue;
        }
        client.write_all(&head).await?;
        client.write_all(&rest).await?;
    }
}
