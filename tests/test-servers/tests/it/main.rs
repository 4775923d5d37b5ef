//! The servers as tests use them, with the real programs. Where those are missing, the tests fail and say what to do.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod disk;
mod end;
mod postgres;
mod processes;
mod rabbitmq;
