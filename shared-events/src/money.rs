use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A currency with an ISO 4217 code and a defined number of decimals (so not gold, and not "no currency").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Returns the three capital letters, such as `USD`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Returns how many decimals an amount may have: 2 for `USD`, 0 for `JPY`, 3 for `KWD`.
    #[must_use]
    pub fn decimals(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

/// A text that is not the code of a currency with decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 4217 currency code such as USD")]
pub struct UnknownCurrency;

impl FromStr for Currency {
    type Err = UnknownCurrency;
    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.exponent().is_some() && currency.code() == code)
            .map(Self)
            .ok_or(UnknownCurrency)
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;
    fn try_from(code: String) -> Result<Self, UnknownCurrency> {
        code.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

/// A positive amount of money, in whole minor units (cents) of its currency. It is never represented as a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "WireMoney", into = "WireMoney")]
pub struct Money {
    minor_units: i64,
    currency: Currency,
}

#[derive(Serialize, Deserialize)]
struct WireMoney {
    minor_units: i64,
    currency: Currency,
}

impl Money {
    /// The largest amount, in minor units. It is below 2^53, so that clients that read numbers as doubles get it
    /// exactly.
    pub const MAX_MINOR_UNITS: i64 = 1_000_000_000_000_000;

    /// Validates an amount in minor units.
    ///
    /// # Errors
    /// If the amount is not positive, or over [`Money::MAX_MINOR_UNITS`].
    pub fn from_minor_units(minor_units: i64, currency: Currency) -> Result<Self, AmountError> {
        match minor_units {
            ..=0 => Err(AmountError::NotPositive),
            1..=Self::MAX_MINOR_UNITS => Ok(Self { minor_units, currency }),
            _ => Err(AmountError::TooLarge),
        }
    }

    /// Parses the text of a JSON number (`200`, `200.50`, `2e2`) exactly, as an amount in major units.
    ///
    /// # Errors
    /// If the text is not such a number, or the amount is not positive, is too large, or has more decimals than its
    /// currency.
    pub fn parse(number: &str, currency: Currency) -> Result<Self, AmountError> {
        let (mantissa, exponent) = match number.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| exponent_error(exponent))?),
            None => (number, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(AmountError::NotANumber);
        }
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_end_matches('0');
        if significant.trim_start_matches('0').is_empty() || negative {
            return Err(AmountError::NotPositive);
        }
        // The number of zeros after the significant digits, once the decimal point is moved by the exponent and the
        // currency.
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let zeros = length(whole) - length(significant) + i64::from(exponent) + i64::from(currency.decimals());
        let zeros = match u32::try_from(zeros) {
            Err(_) if zeros < 0 => return Err(AmountError::TooManyDecimals),
            Err(_) => return Err(AmountError::TooLarge),
            Ok(zeros) => zeros,
        };
        let value = significant.parse::<i64>().map_err(|_| AmountError::TooLarge)?;
        let scale = 10_i64.checked_pow(zeros).ok_or(AmountError::TooLarge)?;
        Self::from_minor_units(value.checked_mul(scale).ok_or(AmountError::TooLarge)?, currency)
    }

    /// Returns the amount in minor units, which is always positive.
    #[must_use]
    pub fn minor_units(self) -> i64 {
        self.minor_units
    }

    /// Returns its currency.
    #[must_use]
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Returns the amount in major units, as the text of a JSON number: `200`, `200.50`.
    #[must_use]
    pub fn amount(self) -> String {
        let scale = 10_i64.pow(self.currency.decimals());
        let (whole, rest) = (self.minor_units / scale, self.minor_units % scale);
        let width = self.currency.decimals() as usize;
        if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:0width$}") }
    }

    /// Returns [`amount`](Self::amount) as a JSON number, exact because it is never a float.
    #[must_use]
    pub fn json_amount(self) -> Box<RawValue> {
        RawValue::from_string(self.amount()).expect("an amount is the text of a JSON number")
    }
}

/// Returns the error for an exponent that does not fit an `i32`: the amount is far too large, or has far too many
/// decimals.
fn exponent_error(exponent: &str) -> AmountError {
    match exponent.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => AmountError::TooManyDecimals,
        _ if exponent.trim_start_matches('+').bytes().all(|byte| byte.is_ascii_digit()) => AmountError::TooLarge,
        _ => AmountError::NotANumber,
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency.code())
    }
}

/// Why an amount is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It is not a decimal number.
    #[error("must be a number")]
    NotANumber,
    /// It is zero or negative.
    #[error("must be greater than 0")]
    NotPositive,
    /// It is over [`Money::MAX_MINOR_UNITS`].
    #[error("is too large")]
    TooLarge,
    /// It has more decimals than its currency, such as 1.001 dollars.
    #[error("has more decimals than its currency")]
    TooManyDecimals,
}

impl TryFrom<WireMoney> for Money {
    type Error = AmountError;
    fn try_from(wire: WireMoney) -> Result<Self, AmountError> {
        Self::from_minor_units(wire.minor_units, wire.currency)
    }
}

impl From<Money> for WireMoney {
    fn from(money: Money) -> Self {
        Self { minor_units: money.minor_units, currency: money.currency }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(number: &str, currency: &str) -> Result<i64, AmountError> {
        Money::parse(number, currency.parse().unwrap()).map(Money::minor_units)
    }

    #[test]
    fn amounts_are_parsed_exactly() {
        for (number, currency, minor_units) in [
            ("200", "USD", 20_000),
            ("200.5", "USD", 20_050),
            ("200.50", "USD", 20_050),
            ("200.5000", "USD", 20_050),
            ("0.01", "USD", 1),
            ("2e2", "USD", 20_000),
            ("2.5E+1", "USD", 2_500),
            ("25000e-3", "USD", 2_500),
            ("0.1e1", "JPY", 1),
            ("7", "JPY", 7),
            ("0.001", "KWD", 1),
            ("10000000000000", "USD", Money::MAX_MINOR_UNITS),
        ] {
            assert_eq!(parse(number, currency), Ok(minor_units), "{number} {currency}");
        }
    }

    #[test]
    fn impossible_amounts_are_refused() {
        use AmountError::*;
        for (number, currency, error) in [
            ("0", "USD", NotPositive),
            ("0.00", "USD", NotPositive),
            ("-1", "USD", NotPositive),
            ("1e400", "USD", TooLarge),
            ("1e99999999999999999999", "USD", TooLarge),
            ("1e-99999999999999999999", "USD", TooManyDecimals),
            ("10000000000000.01", "USD", TooLarge),
            ("1.001", "USD", TooManyDecimals),
            ("1.5", "JPY", TooManyDecimals),
            ("1e-400", "USD", TooManyDecimals),
            ("NaN", "USD", NotANumber),
            ("\"200\"", "USD", NotANumber),
            ("", "USD", NotANumber),
            ("1e", "USD", TooLarge),
            ("1.2.3", "USD", NotANumber),
            ("-0", "USD", NotPositive),
            ("-0.0", "USD", NotPositive),
            // 0.1 + 0.2 as doubles.
            ("0.30000000000000004", "USD", TooManyDecimals),
            ("9223372036854775808", "USD", TooLarge),
            ("1e9223372036854775807", "USD", TooLarge),
            ("0e99", "USD", NotPositive),
        ] {
            assert_eq!(parse(number, currency), Err(error), "{number} {currency}");
        }
        assert_eq!(parse(&"9".repeat(5_000), "USD"), Err(TooLarge));
    }

    #[test]
    fn only_currencies_with_decimals_are_accepted() {
        for code in ["usd", "US", "XXX", "XAU", "ZZZ", "", "USDX"] {
            assert_eq!(code.parse::<Currency>(), Err(UnknownCurrency), "{code}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_is_the_same_after_a_round_trip(
            minor_units in 1..=Money::MAX_MINOR_UNITS,
            code in prop::sample::select(vec!["USD", "JPY", "KWD"]),
        ) {
            let money = Money::from_minor_units(minor_units, code.parse().unwrap()).unwrap();
            prop_assert_eq!(Money::parse(&money.amount(), money.currency()), Ok(money));
        }

        /// Whole numbers of 128 bits are the reference: the amount is `digits` × 10^(decimals + exponent − places).
        #[test]
        fn an_amount_is_exact(
            digits in 1_u64..2_000_000_000_000,
            places in 0_usize..13,
            exponent in -14_i32..14,
            zeros in 0_usize..4,
            with_exponent in any::<bool>(),
            code in prop::sample::select(vec!["USD", "JPY", "KWD"]),
        ) {
            let currency: Currency = code.parse().unwrap();
            let padded = format!("{digits:0width$}", width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            // Zeros behind the point change nothing.
            let fraction = format!("{fraction}{}", "0".repeat(zeros));
            let point = if fraction.is_empty() { "" } else { "." };
            let exponent = if with_exponent { exponent } else { 0 };
            let suffix = if with_exponent { format!("e{exponent}") } else { String::new() };
            let number = format!("{whole}{point}{fraction}{suffix}");
            let shift = i64::from(currency.decimals()) + i64::from(exponent) - places as i64;
            let power = |shift: i64| 10_i128.pow(u32::try_from(shift).unwrap());
            let digits = i128::from(digits);
            let minor_units = match shift {
                0.. => Some(digits * power(shift)),
                _ => (digits % power(-shift) == 0).then(|| digits / power(-shift)),
            };
            let expected = match minor_units {
                None => Err(AmountError::TooManyDecimals),
                Some(units) if units > i128::from(Money::MAX_MINOR_UNITS) => Err(AmountError::TooLarge),
                Some(units) => Ok(i64::try_from(units).unwrap()),
            };
            prop_assert_eq!(parse(&number, code), expected, "{} {}", number, code);
            prop_assert_eq!(parse(&format!("-{number}"), code), Err(AmountError::NotPositive));
        }

        #[test]
        fn parsing_never_panics(number in "[-+0-9.eE]{0,40}") {
            let _ = parse(&number, "USD");
        }
    }
}
