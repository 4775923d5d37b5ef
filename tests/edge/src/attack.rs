//! Clients that occupy connections and ask for nothing useful.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

/// What each of an attacker's connections does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Sends the first half of a request's head, and waits.
    HalfSentHeads,
    /// Sends the head of an order, and its body one byte at a time, too slowly.
    SlowBodies,
    /// Sends the beginning of a TLS handshake, and waits.
    HalfHandshakes,
    /// Sends one whole request, and keeps the connection.
    IdleConnections,
    /// Asks for the stream of orders, and reads nothing.
    UnreadStreams,
    /// Asks for the longest list, again and again, and reads nothing.
    UnreadLists,
    /// Asks for the longest list, reads it, and asks again.
    Lists,
    /// Places an order without an API key, [`UNKNOWN_PER_SECOND`] times a second, and reads the refusals.
    Unknown,
}

/// The pause between two bytes of a slow body.
const DRIP: Duration = Duration::from_millis(500);
/// How many requests a client without an API key sends per second.
pub const UNKNOWN_PER_SECOND: u32 = 10;
/// The receive buffer of a client that reads nothing, in bytes.
const SMALL_BUFFER: u32 = 4096;

/// Attackers at work. They stop when this is dropped.
#[derive(Debug)]
pub struct Attackers {
    _tasks: JoinSet<()>,
    opened: Arc<AtomicU64>,
}

impl Attackers {
    /// Starts `connections` attackers at the address `from`, in turn against each of these addresses. One whose
    /// connection is closed comes back after `pause`.
    #[must_use]
    pub fn start(attack: Attack, from: IpAddr, addresses: &[SocketAddr], connections: usize, pause: Duration) -> Self {
        let (mut tasks, opened) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
        for (service, address) in addresses.iter().copied().enumerate().cycle().take(connections) {
            let list = LISTS[service % LISTS.len()];
            let opened = Arc::clone(&opened);
            tasks.spawn(async move {
                loop {
                    if let Ok(stream) = connect(attack, from, address).await {
                        opened.fetch_add(1, Relaxed);
                        // Ends when the service closes the connection.
                        let _ = occupy(attack, list, stream).await;
                    }
                    sleep(pause).await;
                }
            });
        }
        Self { _tasks: tasks, opened }
    }

    /// Returns how many connections have been opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// Waits until this many connections have been opened, or `limit` is over. Returns whether they were.
    pub async fn until_opened(&self, count: u64, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.opened() < count {
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(10)).await;
        }
        true
    }
}

async fn connect(attack: Attack, from: IpAddr, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    if matches!(attack, Attack::UnreadStreams | Attack::UnreadLists) {
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
    }
    socket.connect(address).await
}

/// The longest lists of order, inventory and payment.
const LISTS: [&str; 3] = ["orders", "stock", "payments"];

async fn occupy(attack: Attack, list: &str, mut stream: TcpStream) -> std::io::Result<()> {
    let list = format!("GET /api/v1/{list}?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
    match attack {
        Attack::HalfSentHeads => stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-half: ").await?,
        // The head of a record and of a ClientHello, both longer than what is there.
        Attack::HalfHandshakes => stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await?,
        Attack::IdleConnections => stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await?,
        Attack::SlowBodies => {
            let head = "POST /api/v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                        content-length: 1000\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                sleep(DRIP).await;
            }
        }
        Attack::UnreadStreams => {
            let head = b"GET /api/v1/orders/stream HTTP/1.1\r\nhost: localhost\r\n\r\n";
            stream.write_all(head).await?;
            return closed(&stream).await;
        }
        Attack::UnreadLists => loop {
            stream.write_all(&list).await?;
            sleep(DRIP).await;
        },
        Attack::Unknown => {
            let order = "POST /api/v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                         content-length: 63\r\n\r\n{\"item_sku\":\"SKU-1\",\"quantity\":1,\"amount\":200,\"currency\":\"USD\"}";
            let mut ticks = interval(Duration::from_secs(1) / UNKNOWN_PER_SECOND);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut answer = [0; 4096];
            loop {
                ticks.tick().await;
                stream.write_all(order.as_bytes()).await?;
                // The refusal is shorter than that, and is written at once.
                if stream.read(&mut answer).await? == 0 {
                    return Ok(());
                }
            }
        }
        Attack::Lists => {
            let mut read = vec![0; 64 * 1024];
            loop {
                stream.write_all(&list).await?;
                while !read.ends_with(b"]") {
                    let length = stream.read(&mut read).await?;
                    if length == 0 {
                        return Ok(());
                    }
                    read.truncate(length);
                    let ended = read.ends_with(b"]") || read.ends_with(b"}");
                    read.resize(64 * 1024, 0);
                    if ended {
                        break;
                    }
                }
            }
        }
    }
    // Reads until the service closes the connection.
    let mut answer = [0; 1024];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

/// Waits until the connection is closed, without reading what has arrived.
async fn closed(stream: &TcpStream) -> std::io::Result<()> {
    loop {
        sleep(DRIP).await;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
    }
}
