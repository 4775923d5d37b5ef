use std::{num::NonZeroUsize, time::Duration};

use clap::Args;

use crate::domain::CancelPolicy;

/// Settings of the order service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Order")]
pub struct OrderSettings {
    /// How long a POST waits for the order's end, unless the client sets another time
    #[arg(long, env = "ORDER_WAIT", default_value = "5s", value_parser = humantime::parse_duration)]
    pub order_wait: Duration,
    /// How long after its placement an order is cancelled if it has not ended
    #[arg(long, env = "ORDER_DEADLINE", default_value = "10min", value_parser = humantime::parse_duration)]
    pub order_deadline: Duration,
    /// The first pause before an unanswered cancellation is repeated; each next pause is twice as long
    #[arg(long, env = "CANCEL_REPEAT", default_value = "5s", value_parser = humantime::parse_duration)]
    pub cancel_repeat: Duration,
    /// The longest pause before an unanswered cancellation is repeated, and the first before a confirmation is
    #[arg(long, env = "CANCEL_REPEAT_LONGEST", default_value = "5min", value_parser = humantime::parse_duration)]
    pub cancel_repeat_longest: Duration,
    /// How many of the newest changes a client of the stream can resume from, or lag behind
    #[arg(long, env = "STREAM_HISTORY", default_value = "8192")]
    pub stream_history: NonZeroUsize,
}

impl OrderSettings {
    /// Returns the settings that the domain needs.
    #[must_use]
    pub fn cancel_policy(&self) -> CancelPolicy {
        CancelPolicy {
            deadline: self.order_deadline,
            first_repeat: self.cancel_repeat,
            longest_repeat: self.cancel_repeat_longest,
        }
    }
}
