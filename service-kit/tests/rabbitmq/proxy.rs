//! A line to the server that can be cut without a word, as by a firewall or a machine that lost its power, or swallow confirms.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lapin::uri::AMQPUri;
use service_kit::broker::RabbitMq;
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

use crate::server::{Vhost, broker};

/// Ends with its value.
pub(crate) struct Proxy {
    address: AMQPUri,
    stall: Arc<Notify>,
    swallow_confirms: Arc<AtomicBool>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(vhost: &Vhost) -> Self {
        let mut address: AMQPUri = vhost.url(None).parse().unwrap();
        let server = (address.authority.host.clone(), address.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        address.authority.port = listener.local_addr().unwrap().port();
        // A second is the shortest that there is.
        address.query.heartbeat = Some(1);
        let stall = Arc::new(Notify::new());
        let swallow_confirms = Arc::new(AtomicBool::new(false));
        let (stalled, swallows) = (Arc::clone(&stall), Arc::clone(&swallow_confirms));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (server, stalled, swallows) = (server.clone(), Arc::clone(&stalled), Arc::clone(&swallows));
                lines.spawn(async move {
                    let (mut from_server, mut to_server) = TcpStream::connect(server).await.unwrap().into_split();
                    let (mut from_client, mut to_client) = client.into_split();
                    tokio::select! {
                        _ = copy(&mut from_client, &mut to_server) => {}
                        _ = frames(&mut from_server, &mut to_client, &swallows) => {}
                        // Both ends stay open, and nobody reads.
                        () = stalled.notified() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, stall, swallow_confirms, _accepting: accepting }
    }

    /// The broker of `service` over this line, with the shortest heartbeat.
    pub(crate) fn broker(&self, service: Service) -> RabbitMq {
        broker(service, self.address.to_string())
    }

    /// From now on, whether what the server confirms does not get through; everything else does, heartbeats too.
    pub(crate) fn swallow_confirms(&self, swallow: bool) {
        self.swallow_confirms.store(swallow, Ordering::SeqCst);
    }

    /// The connections that there are carry nothing any more, in no direction. Later ones do.
    pub(crate) fn stall(&self) {
        self.stall.notify_waiters();
    }
}

/// Passes what the server sends on frame by frame: a type, a channel, a length, so many bytes, and an end
/// (AMQP 0-9-1, section 2.3.5).
async fn frames(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    swallow_confirms: &AtomicBool,
) -> std::io::Result<()> {
    /// A method frame whose method is `basic.ack` (class 60, method 80).
    const METHOD: u8 = 1;
    const ACK: [u8; 4] = [0, 60, 0, 80];
    loop {
        let mut frame = vec![0; 7];
        from.read_exact(&mut frame).await?;
        let length = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
        frame.resize(7 + length + 1, 0);
        from.read_exact(&mut frame[7..]).await?;
        let confirm = frame[0] == METHOD && frame[7..].starts_with(&ACK);
        if !(confirm && swallow_confirms.load(Ordering::SeqCst)) {
            to.write_all(&frame).await?;
        }
    }
}
