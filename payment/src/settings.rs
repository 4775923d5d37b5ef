use std::time::Duration;

use clap::Args;

use crate::gateway::{FailureRate, SimulatedGateway};

/// Settings of the payment service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Payment")]
pub struct PaymentSettings {
    /// The simulated gateway authorizes amounts below this, in whole units of their currency, and declines the rest
    #[arg(long, env = "PAYMENT_LIMIT", default_value_t = 1000)]
    pub payment_limit: u64,
    /// The response time of the simulated gateway
    #[arg(long, env = "GATEWAY_LATENCY", default_value = "0s", value_parser = humantime::parse_duration)]
    pub gateway_latency: Duration,
    /// The share of calls, from 0 to 1, in which the simulated gateway fails
    #[arg(long, env = "GATEWAY_FAILURE_RATE", default_value = "0")]
    pub gateway_failure_rate: FailureRate,
    /// The timeout of a call to the gateway
    #[arg(long, env = "GATEWAY_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub gateway_timeout: Duration,
}

impl PaymentSettings {
    /// Returns the gateway with these settings.
    #[must_use]
    pub fn gateway(&self) -> SimulatedGateway {
        SimulatedGateway::new(self.payment_limit, self.gateway_latency, self.gateway_failure_rate)
    }
}
