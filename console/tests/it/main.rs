//! Tests the console through HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod live;
mod operator;
mod orders;
mod security;
