//! Damage to bytes.

use fastrand::Rng;

use super::values::nested;

/// What is inserted: the characters with a meaning in JSON and HTTP, and what is not UTF-8.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"\0",
    b"\r\n",
    b"\n",
    b"-",
    b"e",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\\u",
    b"\\ud800",
    b"null",
    b"9999999999999999999",
    b" ",
    b"\t",
    b"/",
    b"%",
];

/// Changes some of the bytes.
pub(super) fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..10) {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.u8(..8)),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.u8(..)),
            3 | 4 => insert(bytes, at, PIECES[rng.usize(..PIECES.len())]),
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at..(at + rng.usize(..8)).min(bytes.len()))),
            7 => {
                let end = (at + rng.usize(..40)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                insert(bytes, at, &again);
            }
            8 => insert(bytes, at, nested(rng.usize(1..300), rng.bool()).as_bytes()),
            _ if at + 1 < bytes.len() => bytes.swap(at, at + 1),
            _ => {}
        }
    }
}

/// Changes the body as a whole.
pub(super) fn replace(rng: &mut Rng, body: &mut Vec<u8>) {
    match rng.u8(..9) {
        0 => body.clear(),
        1 => *body = [b"[", &body[..], b"]"].concat(),
        2 => body.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
        3 => body.extend_from_slice(b"{}"),
        4 => *body = nested(rng.usize(100..8000), rng.bool()).into_bytes(),
        5 => *body = (0..rng.usize(1..200)).map(|_| rng.u8(..)).collect(),
        // Around the limit of 64 KiB.
        6 => body.resize(65_536 + rng.usize(..3) - 1, b' '),
        7 => body.resize(rng.usize(65_537..300_000), b' '),
        _ => *body = body.iter().flat_map(|byte| [*byte, 0]).collect(),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}
