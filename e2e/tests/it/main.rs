//! The whole system as its users see it, and its protocol searched exhaustively.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod command_line;
mod crash;
mod interleavings;
mod joined;
mod protocol;
mod readme;
mod scenarios;
