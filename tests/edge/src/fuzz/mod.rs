//! Fuzzed requests: generated from the services' OpenAPI documents, damaged, and sent.
//!
//! Each request must be answered within a time limit, by what the document says, and never with 5xx except for the
//! documented 503; a refused request must write nothing; and the services must go on working.

mod check;
mod connection;
mod document;
mod headers;
mod mutate;
mod raw;
mod request;
mod run;
mod state;
mod target;
mod values;

pub use check::check;
pub use connection::{Connection, Response};
pub use document::{Document, Operation, Parameter};
pub use request::{FuzzRequest, Generator, Kind};
pub use run::{Plan, Summary, System, generator, run};
pub use state::{Content, Stores};
