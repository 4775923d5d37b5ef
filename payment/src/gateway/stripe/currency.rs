//! How Stripe writes amounts: as integers in the smallest unit that it has for a currency, which is not always the one
//! of ISO 4217. The source is <https://docs.stripe.com/currencies>, sections "Zero-decimal currencies", "Three-decimal
//! currencies" and "Special cases", read in November 2026.

use shared_events::{Currency, Money};

/// Currencies whose amounts Stripe takes in whole units.
const ZERO_DECIMALS: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];

/// Currencies with three decimals, the last of which has to be 0.
const THREE_DECIMALS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// Currencies that have only whole units, and whose amounts Stripe takes with two decimals all the same, which have to
/// be 00. Stripe lists UGX among the zero-decimal currencies too; the special case counts.
const WHOLE_UNITS_IN_HUNDREDTHS: [&str; 2] = ["ISK", "UGX"];

/// Why Stripe cannot take an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// How Stripe writes amounts in this currency is not known.
    #[error("Stripe has no payments in {0}")]
    Currency(&'static str),
    /// The amount is finer than what Stripe takes.
    #[error("Stripe takes amounts in {0} only in steps of {1} of its smallest units")]
    TooFine(&'static str, i64),
}

/// How Stripe writes the amounts of one currency.
struct Scale {
    /// The number of decimals.
    decimals: u32,
    /// Each amount is a multiple of this.
    step: i64,
}

fn scale(currency: Currency) -> Result<Scale, AmountError> {
    let code = currency.code();
    if ZERO_DECIMALS.contains(&code) {
        Ok(Scale { decimals: 0, step: 1 })
    } else if THREE_DECIMALS.contains(&code) {
        Ok(Scale { decimals: 3, step: 10 })
    } else if WHOLE_UNITS_IN_HUNDREDTHS.contains(&code) {
        Ok(Scale { decimals: 2, step: 100 })
    } else if currency.decimals() == 2 {
        Ok(Scale { decimals: 2, step: 1 })
    } else {
        Err(AmountError::Currency(code))
    }
}

/// Returns the amount as Stripe writes it.
///
/// # Errors
/// If Stripe would refuse the amount, or its currency is not known. It is never rounded.
pub fn to_stripe(amount: Money) -> Result<i64, AmountError> {
    let currency = amount.currency();
    let Scale { decimals, step } = scale(currency)?;
    let too_fine = AmountError::TooFine(currency.code(), step);
    let units = rescale(amount.minor_units(), currency.decimals(), decimals).ok_or(too_fine)?;
    if units % step == 0 { Ok(units) } else { Err(too_fine) }
}

/// Returns the amount that Stripe writes so; `None` if it is no amount, or its currency is not known. `code` is in
/// small letters.
#[must_use]
pub fn from_stripe(units: i64, code: &str) -> Option<Money> {
    let currency: Currency = code.to_ascii_uppercase().parse().ok()?;
    let Scale { decimals, .. } = scale(currency).ok()?;
    Money::from_minor_units(rescale(units, decimals, currency.decimals())?, currency).ok()
}

/// Converts between numbers of decimals, without rounding.
fn rescale(units: i64, from: u32, to: u32) -> Option<i64> {
    if to >= from {
        units.checked_mul(10_i64.checked_pow(to - from)?)
    } else {
        let divisor = 10_i64.checked_pow(from - to)?;
        (units % divisor == 0).then_some(units / divisor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(amount: &str, currency: &str) -> Money {
        Money::parse(amount, currency.parse().unwrap()).unwrap()
    }

    #[test]
    fn amounts_are_in_the_units_of_stripe() {
        for (amount, currency, units) in [
            ("10", "USD", 1000),
            ("0.01", "EUR", 1),
            ("500", "JPY", 500),
            ("5", "KRW", 5),
            // Two decimals in ISO 4217, none at Stripe.
            ("5", "MGA", 5),
            ("5.12", "KWD", 5120),
            ("5.13", "BHD", 5130),
            // No decimals in ISO 4217, two at Stripe.
            ("5", "ISK", 500),
            ("5", "UGX", 500),
            // Zero-decimal for payouts only.
            ("10.45", "HUF", 1045),
            ("8", "TWD", 800),
        ] {
            let amount = money(amount, currency);
            assert_eq!(to_stripe(amount), Ok(units), "{amount}");
            assert_eq!(from_stripe(units, &currency.to_lowercase()), Some(amount), "{amount}");
        }
    }

    #[test]
    fn no_amount_is_rounded() {
        assert_eq!(to_stripe(money("5.124", "KWD")), Err(AmountError::TooFine("KWD", 10)));
        assert_eq!(to_stripe(money("5.10", "MGA")), Err(AmountError::TooFine("MGA", 1)));
        // Three decimals in ISO 4217, and not in Stripe's table.
        assert_eq!(to_stripe(money("5", "LYD")), Err(AmountError::Currency("LYD")));
        assert_eq!(from_stripe(150, "isk"), None);
        assert_eq!(from_stripe(0, "usd"), None);
        assert_eq!(from_stripe(100, "xxx"), None);
    }

    proptest! {
        #[test]
        fn what_stripe_is_asked_for_is_the_amount(
            minor_units in 1..=Money::MAX_MINOR_UNITS,
            code in prop::sample::select([
                &ZERO_DECIMALS[..], &THREE_DECIMALS, &WHOLE_UNITS_IN_HUNDREDTHS, &["USD", "EUR", "HUF"],
            ].concat()),
        ) {
            let amount = Money::from_minor_units(minor_units, code.parse().unwrap()).unwrap();
            if let Ok(units) = to_stripe(amount) {
                prop_assert_eq!(from_stripe(units, &code.to_lowercase()), Some(amount));
            }
        }
    }
}
