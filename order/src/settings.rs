use std::time::Duration;

use clap::Args;

use crate::domain::CancelPolicy;

/// What is particular to the order service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Order")]
pub struct OrderSettings {
    /// How long a POST waits for the order's end, where the client does not say
    #[arg(long, env = "ORDER_WAIT", default_value = "5s", value_parser = humantime::parse_duration)]
    pub order_wait: Duration,
    /// How long after it was placed an order that has not ended is given up
    #[arg(long, env = "ORDER_DEADLINE", default_value = "10min", value_parser = humantime::parse_duration)]
    pub order_deadline: Duration,
    /// How long the answers to a cancellation are waited for before it is repeated; each next wait is twice as long
    #[arg(long, env = "CANCEL_REPEAT", default_value = "5s", value_parser = humantime::parse_duration)]
    pub cancel_repeat: Duration,
    /// The longest such wait
    #[arg(long, env = "CANCEL_REPEAT_LONGEST", default_value = "5min", value_parser = humantime::parse_duration)]
    pub cancel_repeat_longest: Duration,
}

impl OrderSettings {
    /// The part of it that the domain needs.
    #[must_use]
    pub fn cancel_policy(&self) -> CancelPolicy {
        CancelPolicy {
            deadline: self.order_deadline,
            first_repeat: self.cancel_repeat,
            longest_repeat: self.cancel_repeat_longest,
        }
    }
}
