//! The nine kinds of orders of which the diagram must be right, as data of the services' APIs, and what is drawn.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod drawing;
mod services;
mod steps;
mod story;
