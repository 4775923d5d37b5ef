//! The command line and the environment.

mod stripe;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use clap::{Args, ValueEnum};
use saga_support::{DAY, HOUR, MILLISECOND, duration};

use crate::gateway::{FailureRate, PaymentGateway, SimulatedGateway, stripe::WebhookSecret};

pub use stripe::{StripeAccount, StripeSettings};

/// Settings of the payment service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Payment")]
pub struct PaymentSettings {
    /// The simulated gateway authorizes amounts below this, in whole units of their currency, and declines the rest
    #[arg(long, env = "PAYMENT_LIMIT", default_value_t = 1000)]
    pub payment_limit: u64,
    /// The response time of the simulated gateway
    #[arg(long, env = "GATEWAY_LATENCY", default_value = "0s", value_parser = duration(Duration::ZERO, HOUR))]
    pub gateway_latency: Duration,
    /// The share of calls, from 0 to 1, in which the simulated gateway fails
    #[arg(long, env = "GATEWAY_FAILURE_RATE", default_value = "0")]
    pub gateway_failure_rate: FailureRate,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take it for the description of the program")]
    pub gateway: GatewaySettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take it for the description of the program")]
    pub stripe: StripeSettings,
}

/// Which gateway it is, and how it is reached. Whoever only looks payments up needs no more than these.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Payment")]
pub struct GatewaySettings {
    /// The payment gateway: `simulated` moves no money
    #[arg(long, env = "PAYMENT_GATEWAY", value_enum, default_value_t = GatewayKind::Simulated)]
    pub payment_gateway: GatewayKind,
    /// The timeout of a call to the gateway
    #[arg(long, env = "GATEWAY_TIMEOUT", default_value = "10s", value_parser = duration(MILLISECOND, DAY))]
    pub gateway_timeout: Duration,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take it for the description of the program")]
    pub stripe: StripeAccount,
}

/// The payment gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GatewayKind {
    /// One that moves no money.
    Simulated,
    /// Stripe.
    Stripe,
}

/// A gateway, as the settings describe it.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) gateway: Arc<dyn PaymentGateway>,
    /// The same gateway, if it is the simulated one.
    pub(crate) simulated: Option<Arc<SimulatedGateway>>,
    /// What its webhooks are signed with, if any are received.
    pub(crate) webhook_secret: Option<WebhookSecret>,
}

impl GatewaySettings {
    /// Returns the gateway, to look payments up. `None` for the simulated one, which remembers nothing outside of the
    /// service's process.
    ///
    /// # Errors
    /// If a setting is missing, or contradicts another one.
    pub fn for_lookups(&self) -> Result<Option<Arc<dyn PaymentGateway>>> {
        match self.payment_gateway {
            GatewayKind::Stripe => Ok(Some(Arc::new(self.stripe.gateway(None, self.gateway_timeout)?))),
            GatewayKind::Simulated => self.stripe.check_unused().map(|()| None),
        }
    }
}

impl PaymentSettings {
    /// Returns the gateway with these settings.
    ///
    /// # Errors
    /// If a setting of Stripe is missing, or contradicts another one.
    pub(crate) fn gateway(&self) -> Result<Gateway> {
        let (account, timeout) = (&self.gateway.stripe, self.gateway.gateway_timeout);
        match self.gateway.payment_gateway {
            GatewayKind::Stripe => {
                let gateway = self.stripe.gateway(account, timeout)?;
                let webhook_secret = self.stripe.webhook_secret()?;
                Ok(Gateway { gateway: Arc::new(gateway), simulated: None, webhook_secret })
            }
            GatewayKind::Simulated => {
                account.check_unused()?;
                let (latency, failure_rate) = (self.gateway_latency, self.gateway_failure_rate);
                let simulated = Arc::new(SimulatedGateway::new(self.payment_limit, latency, failure_rate));
                Ok(Gateway { gateway: Arc::clone(&simulated) as _, simulated: Some(simulated), webhook_secret: None })
            }
        }
    }
}
