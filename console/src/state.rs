use crate::{
    client::Services,
    live::Live,
    pages::{Placing, Redriving},
    runs::Runs,
    security::Access,
};

/// What the handlers of all pages share.
#[derive(Debug)]
pub(crate) struct AppState {
    /// The clients of the three services.
    pub(crate) services: Services,
    /// What the page "Now" shows.
    pub(crate) live: Live,
    /// The run that places many orders.
    pub(crate) placing: Runs<Placing>,
    /// The run that redrives many dead letters.
    pub(crate) redriving: Runs<Redriving>,
    /// Who may use the console.
    pub(crate) access: Access,
    /// Whether browsers reach it over HTTPS, as far as it knows.
    pub(crate) is_https: bool,
}
