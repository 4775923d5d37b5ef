//! What operators may do that clients may not: look at the parked messages, drive them through the engine again, discard
//! them. Behind a bearer token; without one in the settings, there is nothing to be done here.

mod redrive;
mod routes;
mod settings;
mod state;
mod wire;

pub(crate) use routes::routes;
pub use settings::{AdminSettings, AdminSettingsError, AdminToken};
pub(crate) use state::RefusedRequests;
pub use state::{AdminState, DeadLetterCommands};
pub use wire::{BodyEncoding, DeadLetterSummaryView, DeadLetterView, RedriveAllView, RedriveOutcome, RedriveView};
