//! Bytes that are not, or not quite, HTTP.

use fastrand::Rng;

use super::{mutate::mutate, request::Draft};

/// Headers about the length of a body that are wrong, or contradict each other.
const FRAMINGS: &[&str] = &[
    "content-length: 5\r\ntransfer-encoding: chunked",
    "transfer-encoding: chunked\r\ncontent-length: 5",
    "content-length: 5\r\ncontent-length: 6",
    "content-length: 5, 6",
    "content-length: -1",
    "content-length: +5",
    "content-length: 18446744073709551616",
    "content-length: 9223372036854775807",
    "content-length: 0x5",
    "content-length: 5 5",
    "content-length:",
    "content-length: 5\r\ncontent-length: 5",
    "transfer-encoding: xchunked",
    "transfer-encoding: chunked, identity",
    "transfer-encoding: identity",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "transfer-encoding:\tchunked",
    "transfer-encoding : chunked",
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: chunked\r\n x",
    "Transfer-Encoding:\x0bchunked",
];

/// Chunked bodies that are wrong; some hide another request.
const CHUNKS: &[&str] = &[
    "zz\r\n{}\r\n0\r\n\r\n",
    "-2\r\n{}\r\n0\r\n\r\n",
    "ffffffffffffffffff\r\n{}",
    "2;a=b\r\n{}\r\n0\r\n\r\n",
    "2\n{}\n0\n\n",
    "2\r\n{}0\r\n\r\n",
    "3\r\n{}\r\n0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "0\r\nContent-Length: 50\r\n\r\n",
    "2 \r\n{}\r\n0\r\n\r\n",
    "0\r\n\r\nGET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "\r\n\r\n",
    "00000000000000000002\r\n{}\r\n0\r\n\r\n",
    "2\r\n{}\r\n",
    "0\r\n\r\nDELETE /admin/dead-letters/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n",
    "7fffffffffffffff\r\n{}",
];

/// Heads that no correct client sends.
const HEADS: &[&str] = &[
    "GET /\r\n\r\n",
    "GET / HTTP/0.9\r\n\r\n",
    "GET / HTTP/9.9\r\nhost: x\r\n\r\n",
    "GET / http/1.1\r\n\r\n",
    "GET  /  HTTP/1.1\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03",
    "\r\n\r\n\r\n",
    "\0\0\0\0",
    " GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\nhost: x\n\n",
    "GET / HTTP/1.1\r\n x: y\r\n\r\n",
    "GET / HTTP/1.1\r\n: y\r\n\r\n",
    "GET / HTTP/1.1\r\nx y\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "GET /\0 HTTP/1.1\r\n\r\n",
    "CONNECT localhost:1 HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.1\r\nx: a\x00b\r\n\r\n",
    "GET / HTTP/1.1\r\nx: a\r\n\tb\r\n\r\n",
    "GET / HTTP/1.1\rhost: x\r\r",
    "GET \u{fc} HTTP/1.1\r\n\r\n",
    "SSH-2.0-x\r\n",
    "EHLO x\r\n",
];

/// Returns bytes made from a request.
pub(super) fn malformed(rng: &mut Rng, draft: &Draft) -> Vec<u8> {
    let pick = |rng: &mut Rng, from: &[&str]| from[rng.usize(..from.len())].to_owned();
    let bytes = draft.to_bytes();
    match rng.u8(..12) {
        0 => pick(rng, HEADS).chars().map(|one| one as u8).collect(),
        1 => {
            let body = draft.body.clone().unwrap_or_else(|| b"{\"a\":1}".to_vec());
            [&draft.head()[..], pick(rng, FRAMINGS).as_bytes(), b"\r\n\r\n", &body].concat()
        }
        2 => {
            let framing = pick(rng, FRAMINGS);
            [&draft.head()[..], framing.as_bytes(), b"\r\n\r\n", pick(rng, CHUNKS).as_bytes()].concat()
        }
        3 => [&draft.head()[..], b"transfer-encoding: chunked\r\n\r\n", pick(rng, CHUNKS).as_bytes()].concat(),
        4 => bytes[..rng.usize(..=bytes.len())].to_vec(),
        // A body that is longer than announced begins the next request, one that is shorter ends in the middle.
        5 => {
            let body = draft.body.clone().unwrap_or_default();
            let length = (body.len() + rng.usize(..20)).saturating_sub(10);
            [&draft.head()[..], format!("content-length: {length}\r\n\r\n").as_bytes(), &body].concat()
        }
        6 => (0..rng.usize(1..500)).map(|_| rng.u8(..)).collect(),
        7 => vec![b"A\r\n \0"[rng.usize(..5)]; rng.usize(1..100_000)],
        8 => bytes.iter().filter(|byte| **byte != b'\r').copied().collect(),
        9 => [&bytes[..], &bytes[..rng.usize(..bytes.len())]].concat(),
        _ => {
            let mut bytes = bytes;
            mutate(rng, &mut bytes);
            bytes
        }
    }
}
