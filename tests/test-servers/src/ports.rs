//! Free TCP ports.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};

/// Below the range of ports for outgoing connections (from 32768 on Linux). Otherwise, a client that keeps trying to
/// reach a crashed server could get the server's port as its own, connect to itself, and keep the server from
/// restarting.
const FIRST: u16 = 15_000;
/// A process takes ports in blocks of this many.
const BLOCK: u16 = 20;
const BLOCKS: u16 = 850;

/// The blocks that this process has taken.
struct Taken {
    /// The first port of each block. They stay open until the process ends, so that no other process takes the block:
    /// a port that is free now may be another server's that has not started yet.
    blocks: Vec<TcpListener>,
    /// The ports of the last block that were not returned yet.
    left: Range<u16>,
}

/// Returns an unused port on 127.0.0.1. No two calls return the same one, in this process or in another that runs.
///
/// # Errors
/// If all ports are taken.
pub fn free() -> Result<u16> {
    static TAKEN: Mutex<Taken> = Mutex::new(Taken { blocks: Vec::new(), left: 0..0 });
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(port) = taken.left.find(|port| listen(*port).is_ok()) {
            return Ok(port);
        }
        let (block, ports) = take(RandomState::new().hash_one(()))?;
        taken.blocks.push(block);
        taken.left = ports;
    }
}

/// Takes the block with the number `begin`, or the next that is not taken. Returns its first port, and the others.
fn take(begin: u64) -> Result<(TcpListener, Range<u16>)> {
    let begin = (begin % u64::from(BLOCKS)) as u16;
    let firsts = (begin..BLOCKS).chain(0..begin).map(|block| FIRST + block * BLOCK);
    let mut taken = firsts.filter_map(|first| Some((listen(first).ok()?, first + 1..first + BLOCK)));
    taken.next().context("there is no free port")
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_one_owner() -> Result<()> {
        let (_first, ports) = take(849)?;
        let (second, others) = take(849)?;
        assert!(!ports.contains(&others.start), "{ports:?}, {others:?}");
        drop(second);
        Ok(())
    }

    #[test]
    fn no_two_ports_are_the_same() -> Result<()> {
        let mut ports = (0..100).map(|_| free()).collect::<Result<Vec<_>>>()?;
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 100);
        Ok(())
    }
}
