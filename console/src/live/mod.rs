//! What the page "Now" shows, kept up to date for all who look at it.
//!
//! One sampler a console asks the services: for their metrics and their readiness once a second, for the newest orders
//! four times a second. It starts with the first page that is looked at, and stops some seconds after the last one, so
//! that it costs nothing while nobody looks. What it sees is rendered once, for all pages. A page that reads slowly
//! gets the newest state when it can take one, and nothing is kept for it.

mod exposition;
mod history;
mod map;
mod orders;
mod problems;
mod rates;
mod sample;
mod sampler;
mod sparkline;

pub(crate) use problems::{Problem, STUCK_AFTER};
pub(crate) use sample::Sample;
pub(crate) use sampler::{Live, Region};
