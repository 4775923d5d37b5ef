//! Dead letters, as an operator sees and handles them: over HTTP, on a whole service.

mod access;
mod intake;
mod listeners;
mod redrive;
pub(crate) mod service_harness;
