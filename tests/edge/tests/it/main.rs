//! The services under attack, as processes of their own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
mod connections;
mod fuzz;
#[cfg(target_os = "linux")]
mod handshakes;

#[cfg(target_os = "linux")]
/// The program under test, with this limit of open files.
fn program(open_files: u32) -> testkit::process::Program {
    let program = testkit::programs::Programs::of_this_build().unwrap().path("order-system").unwrap();
    testkit::process::Program::at(&program.to_string_lossy()).with_open_files(open_files)
}
