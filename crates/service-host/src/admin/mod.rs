//! The admin API for operators: list and show dead letters, redrive them through the engine, and discard them. Requires
//! the admin token, or an API key with the scope `admin`.

mod audit;
mod redrive;
mod routes;
mod settings;
mod state;
mod wire;

pub use audit::AuditEntryView;
pub(crate) use routes::routes;
pub use service_http::access::AdminToken;
pub use settings::{AdminSettings, AdminSettingsError};
pub use state::{AdminState, DeadLetterCommands};
pub use wire::{BodyEncoding, DeadLetterSummaryView, DeadLetterView, RedriveAllView, RedriveOutcome, RedriveView};
