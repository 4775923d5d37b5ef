use std::time::Duration;

use anyhow::Result;
use clap::Args;
use payment::GatewaySettings;
use saga_support::{MILLISECOND, YEAR, duration};

use super::Comparison;

/// The payment gateway to compare with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Payment gateway")]
pub struct GatewayArgs {
    /// Compare only payments that were created or have changed within this time, such as 30days; by default, all
    #[arg(long, env = "GATEWAY_SINCE", value_parser = duration(MILLISECOND, YEAR.saturating_mul(100)))]
    gateway_since: Option<Duration>,
    /// About how many payments the gateway is asked at the same time
    #[arg(long, env = "GATEWAY_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    gateway_concurrency: u8,
    #[command(flatten)]
    gateway: GatewaySettings,
}

impl GatewayArgs {
    /// Returns the comparison with this gateway; `None` if it remembers nothing.
    ///
    /// # Errors
    /// If a setting is missing, or contradicts another one.
    pub(crate) fn comparison(&self) -> Result<Option<Comparison>> {
        let Self { gateway_since: since, gateway_concurrency, ref gateway } = *self;
        let with = |gateway| Comparison { gateway, since, concurrency: usize::from(gateway_concurrency) };
        Ok(gateway.for_lookups()?.map(with))
    }
}
