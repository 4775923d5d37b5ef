use std::time::Duration;

use clap::Args;

use crate::domain::HoldPolicy;

/// Settings of the inventory service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Inventory")]
pub struct InventorySettings {
    /// How long stock is held for an order before the order service is asked about it; should be longer than the
    /// order's deadline
    #[arg(long, env = "HOLD_TIME", default_value = "15min", value_parser = humantime::parse_duration)]
    pub hold_time: Duration,
    /// How long stock is held for a client that has reserved it over REST and does not release it; not set: any time
    #[arg(long, env = "RESERVATION_EXPIRY", value_parser = humantime::parse_duration)]
    pub reservation_expiry: Option<Duration>,
}

/// The longest pause between two `StockHoldOverdue` events about the same reservation.
const LONGEST_REPEAT: Duration = Duration::from_secs(2 * 60 * 60);

impl InventorySettings {
    /// Returns the settings that the domain needs.
    #[must_use]
    pub fn hold_policy(&self) -> HoldPolicy {
        HoldPolicy { hold_time: self.hold_time, longest_repeat: LONGEST_REPEAT }
    }
}
