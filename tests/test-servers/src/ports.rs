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

/// Below the range of ports for outgoing connections (from 32768 on Linux). Otherwise, a client that keeps trying to
/// reach a crashed server could get the server's port as its own, connect to itself, and keep the server from
/// restarting.
const FIRST: u64 = 15_000;
const COUNT: u64 = 17_000;

/// Returns an unused port on 127.0.0.1. No two calls in this process return the same one, and each process begins at a
/// random port.
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
