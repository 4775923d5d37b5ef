use crate::{client::Services, security::Access};

/// What the handlers of all pages share.
#[derive(Debug)]
pub(crate) struct AppState {
    /// The clients of the three services.
    pub(crate) services: Services,
    /// Who may use the console.
    pub(crate) access: Access,
}
