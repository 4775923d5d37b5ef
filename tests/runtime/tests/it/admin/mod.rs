//! The parked messages, as an operator sees and treats them: over HTTP, on a whole service.

mod doors;
mod intake;
mod redrive;
pub(crate) mod station;
