//! Checks whether a node is ready.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(2);

pub(super) fn accepts(port: u16) -> Option<()> {
    connect(port).map(drop)
}

/// Returns the version from a node's AMQP greeting. The node listens only when its start is complete, including
/// definitions.
pub(super) fn amqp(port: u16) -> Option<String> {
    let mut stream = connect(port)?;
    stream.write_all(b"AMQP\0\0\x09\x01").ok()?;
    // A frame: type 1 (method), channel 0, a size; then class 10, method 10: `connection.start`.
    let mut head = [0; 7];
    stream.read_exact(&mut head).ok()?;
    let [1, 0, 0, size @ ..] = head else { return None };
    let mut start = vec![0; usize::try_from(u32::from_be_bytes(size)).ok()?];
    stream.read_exact(&mut start).ok()?;
    start.starts_with(&[0, 10, 0, 10]).then(|| version(&start).unwrap_or_else(|| "of an unknown version".to_owned()))
}

/// Reads the entry `version` of the server's properties: a name with its length, then `S`, a length and the value.
fn version(start: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\x07versionS";
    let key = start.windows(KEY.len()).position(|window| window == KEY)?;
    let (size, rest) = start.get(key + KEY.len()..)?.split_first_chunk()?;
    let version = rest.get(..usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
    String::from_utf8(version.to_owned()).ok()
}

/// Returns whether the management API responds: without credentials, with a 401.
pub(super) fn management(port: u16) -> bool {
    let answer = || {
        let mut stream = connect(port)?;
        stream.write_all(b"GET /api/overview HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).ok()?;
        Some(status)
    };
    answer().is_some_and(|status| &status == b"HTTP/1.1 401")
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.set_write_timeout(Some(LIMIT)).ok()?;
    Some(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_greeting() {
        let start = b"\0\x0a\0\x0a\0\x09\0\0\0\x2b\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8\0\0";
        assert_eq!(version(start).as_deref(), Some("3.10.8"));
        assert_eq!(version(&start[..start.len() - 5]), None);
        assert_eq!(version(b""), None);
    }
}
