use super::limits::ConnectionLimits;
use crate::{Audience, ListTurns, ServerTls};

/// How a listener serves its clients.
#[derive(Debug, Clone, Default)]
pub struct ListenerConfig {
    /// What clients may occupy.
    pub limits: ConnectionLimits,
    /// The certificate, if it speaks HTTPS. Otherwise it speaks plain HTTP.
    pub tls: Option<ServerTls>,
    /// Whom it is for.
    pub audience: Audience,
    /// Whose turn it is to read a list. Listeners whose configurations are copies of each other share it.
    pub list_turns: ListTurns,
}

impl ListenerConfig {
    /// Returns the scheme of the listener's addresses.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Plain HTTP within these limits.
impl From<ConnectionLimits> for ListenerConfig {
    fn from(limits: ConnectionLimits) -> Self {
        Self { limits, ..Self::default() }
    }
}
