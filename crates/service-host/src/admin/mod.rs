//! The admin API for operators: list and show dead letters, redrive them through the engine, and discard them. Requires
//! a bearer token; the API is off if the settings have none.

mod redrive;
mod routes;
mod settings;
mod state;
mod wire;

pub(crate) use routes::{behind_token, routes};
pub use settings::{AdminSettings, AdminSettingsError, AdminToken};
pub(crate) use state::RefusedRequests;
pub use state::{AdminState, DeadLetterCommands};
pub use wire::{BodyEncoding, DeadLetterSummaryView, DeadLetterView, RedriveAllView, RedriveOutcome, RedriveView};
