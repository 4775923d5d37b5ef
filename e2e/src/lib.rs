//! Drives the whole system from outside, as its users do: starts the real program, speaks HTTP to it, kills it, asks it
//! for its audit, and measures it. The tests are in `tests/`, the benchmarks in `src/bin/bench.rs`.

pub mod client;
pub mod load;
pub mod process;
