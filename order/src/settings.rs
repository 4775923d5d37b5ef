use std::{num::NonZeroUsize, time::Duration};

use clap::Args;
use saga_support::{DAY, HOUR, MILLISECOND, YEAR, duration};

use crate::domain::CancelPolicy;

/// Settings of the order service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Order")]
pub struct OrderSettings {
    /// How long a POST waits for the order's end, unless the client sets another time
    #[arg(long, env = "ORDER_WAIT", default_value = "5s", value_parser = duration(Duration::ZERO, HOUR))]
    pub order_wait: Duration,
    /// How long after its placement an order is cancelled if it has not ended
    #[arg(long, env = "ORDER_DEADLINE", default_value = "10min", value_parser = duration(MILLISECOND, YEAR))]
    pub order_deadline: Duration,
    /// The first pause before an unanswered cancellation is repeated; each next pause is twice as long
    #[arg(long, env = "CANCEL_REPEAT", default_value = "5s", value_parser = duration(MILLISECOND, DAY))]
    pub cancel_repeat: Duration,
    /// The longest pause before an unanswered cancellation is repeated, and the first before a confirmation is
    #[arg(long, env = "CANCEL_REPEAT_LONGEST", default_value = "5min", value_parser = duration(MILLISECOND, DAY))]
    pub cancel_repeat_longest: Duration,
    /// How many of the newest changes a client of the stream can resume from, or lag behind
    #[arg(long, env = "STREAM_HISTORY", default_value = "8192", value_parser = stream_history)]
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

/// The most changes that a stream keeps: each takes about a kilobyte.
const MOST_HISTORY: NonZeroUsize = NonZeroUsize::new(1_000_000).expect("it is not 0");

fn stream_history(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(number) if number > MOST_HISTORY => Err(format!("must be at most {MOST_HISTORY}")),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}
