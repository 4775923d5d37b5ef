use std::{str::FromStr, time::Duration};

/// How the simulated gateway behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Its response time.
    pub latency: Duration,
    /// The share of calls that fail.
    pub failure_rate: FailureRate,
}

/// The share of calls that fail, from 0 (none) to 1 (all).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct FailureRate(f64);

/// A text that is not a [`FailureRate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0 to 1")]
pub struct InvalidFailureRate;

impl TryFrom<f64> for FailureRate {
    type Error = InvalidFailureRate;
    fn try_from(share: f64) -> Result<Self, InvalidFailureRate> {
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(InvalidFailureRate) }
    }
}

impl FailureRate {
    /// Returns the share, from 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0
    }
}

impl FromStr for FailureRate {
    type Err = InvalidFailureRate;
    fn from_str(text: &str) -> Result<Self, InvalidFailureRate> {
        text.parse::<f64>().map_err(|_| InvalidFailureRate)?.try_into()
    }
}

/// Returns the `n`th number, at least 0 and below 1, of a fixed sequence without a visible pattern (SplitMix64,
/// <https://prng.di.unimi.it/splitmix64.c>): in two runs with the same calls, the same calls fail.
pub(super) fn chance(n: u64) -> f64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // The upper 53 bits, which an `f64` holds exactly.
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_from_0_to_1() {
        for (text, rate) in [("0", 0.0), ("0.25", 0.25), ("1", 1.0)] {
            assert_eq!(text.parse(), Ok(FailureRate(rate)));
        }
        for text in ["-0.1", "1.1", "NaN", "inf", "", "half"] {
            assert_eq!(text.parse::<FailureRate>(), Err(InvalidFailureRate), "{text}");
        }
    }
}
