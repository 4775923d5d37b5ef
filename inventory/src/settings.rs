use std::time::Duration;

use clap::Args;
use saga_support::{MILLISECOND, YEAR, duration};

use crate::domain::HoldPolicy;

/// Settings of the inventory service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Inventory")]
pub struct InventorySettings {
    /// How long stock is held for an order before the order service is asked about it; should be longer than the
    /// order's deadline
    #[arg(long, env = "HOLD_TIME", default_value = "15min", value_parser = duration(MILLISECOND, YEAR))]
    pub hold_time: Duration,
    /// How long stock is held for a client that has reserved it over REST and does not release it; not set: any time
    #[arg(long, env = "RESERVATION_EXPIRY", value_parser = duration(MILLISECOND, YEAR))]
    pub reservation_expiry: Option<Duration>,
    /// How long a repeated request to reserve or release is recognized by its idempotency key, at least
    #[arg(long, env = "IDEMPOTENCY_KEY_LIFETIME", default_value = "24h", value_parser = duration(MINUTE, YEAR))]
    pub idempotency_key_lifetime: Duration,
}

/// The shortest lifetime of an idempotency key: longer than a client needs to repeat a request.
const MINUTE: Duration = Duration::from_secs(60);

/// The longest pause between two `StockHoldOverdue` events about the same reservation.
const LONGEST_REPEAT: Duration = Duration::from_secs(2 * 60 * 60);

impl InventorySettings {
    /// Returns the settings that the domain needs.
    #[must_use]
    pub fn hold_policy(&self) -> HoldPolicy {
        HoldPolicy { hold_time: self.hold_time, longest_repeat: LONGEST_REPEAT }
    }
}
