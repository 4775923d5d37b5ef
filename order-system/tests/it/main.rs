//! The whole system as its users see it, and its protocol searched exhaustively.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a crash test says what it did")]

mod command_line;
mod crash;
mod dead_letters;
mod identity;
mod interleavings;
mod joined;
mod openapi;
mod power_cut;
mod protocol;
mod readme;
mod scenarios;

/// The program that is tested; cargo has built it together with this test.
fn program() -> testkit::process::Program {
    testkit::process::Program::at(env!("CARGO_BIN_EXE_order-system"))
}
