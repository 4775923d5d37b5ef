//! Free TCP ports.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};

/// Below the ports that systems hand out to clients (from 32768 on Linux). A client that keeps on trying to reach a
/// crashed server could otherwise get the server's own port for its end, connect to itself and keep the server from
/// coming back.
const FIRST: u64 = 15_000;
const COUNT: u64 = 17_000;

/// A port on 127.0.0.1 that nobody listens on. No two calls in this process get the same one, and processes that
/// run at the same time begin at random places.
///
/// # Errors
/// If all ports are taken.
pub fn free() -> Result<u16> {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(()) % COUNT));
    (0..COUNT)
        .filter_map(|_| u16::try_from(FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("there is no free port")
}
