//! Tests the whole system through its public interfaces, and searches its protocol exhaustively.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a crash test reports what it did")]

mod access;
mod command_line;
mod console;
mod console_dead_letters;
mod console_orders;
mod console_stock;
mod console_stuck;
mod crash;
mod dead_letters;
mod identity;
mod interleavings;
mod joined;
mod keys;
mod openapi;
mod power_cut;
mod protocol;
mod readme;
mod reconciliation;
mod scenarios;
mod tls;
mod tokens;
mod traces;
mod upgrade;

/// The program under test; cargo has built it together with this test.
fn program() -> testkit::process::Program {
    testkit::process::Program::at(env!("CARGO_BIN_EXE_order-system"))
}
