//! Tests of the console, used as a user does in a real browser. They need Chromium and its driver; `cargo xtask test`
//! installs them.

mod harness;
mod operator;
mod orders;
mod pages;
mod pictures;
mod services_down;
