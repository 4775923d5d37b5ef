//! A line to the server that can be cut without a word, as by a firewall or a machine that lost its power.

use std::sync::Arc;

use lapin::uri::AMQPUri;
use service_kit::broker::RabbitMq;
use shared_events::Service;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

use crate::server::{Vhost, broker};

/// Ends with its value.
pub(crate) struct Proxy {
    address: AMQPUri,
    stall: Arc<Notify>,
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
        let stalled = Arc::clone(&stall);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (server, stalled) = (server.clone(), Arc::clone(&stalled));
                lines.spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        // Both ends stay open, and nobody reads.
                        () = stalled.notified() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, stall, _accepting: accepting }
    }

    /// The broker of `service` over this line, with the shortest heartbeat.
    pub(crate) fn broker(&self, service: Service) -> RabbitMq {
        broker(service, self.address.to_string())
    }

    /// The connections that there are carry nothing any more, in no direction. Later ones do.
    pub(crate) fn stall(&self) {
        self.stall.notify_waiters();
    }
}
