use std::fmt;

use serde::{Deserialize, Serialize};

/// The payment gateway's token of a means of payment, such as `pm_…` at Stripe. Never a card number: that would make
/// each database, message and backup subject to PCI DSS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PaymentMethod(String);

/// Why a text is not such a token. It does not contain the text, which might be a card number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaymentMethodError {
    /// It has the digits of a card number.
    #[error("must be a token of the payment gateway, never a card number")]
    CardNumber,
    /// It has other characters, or too many, or none.
    #[error("must begin with a letter and have at most 255 letters, digits, _ and -")]
    Invalid,
}

/// The lengths of card numbers, in digits (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 12..=19;

impl PaymentMethod {
    /// Maximum length of a token, in characters.
    pub const MAX_CHARS: usize = 255;

    /// Checks that `text` can be a token, and has no card number in it.
    ///
    /// # Errors
    /// If it cannot.
    pub fn parse(text: &str) -> Result<Self, PaymentMethodError> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if has_card_number(text) {
            Err(PaymentMethodError::CardNumber)
        } else if text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.len() <= Self::MAX_CHARS
            && text.bytes().all(is_token)
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(PaymentMethodError::Invalid)
        }
    }

    /// Returns the token's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether a sequence of digits, with or without separators, is as long as a card number and has its check
/// digit.
fn has_card_number(text: &str) -> bool {
    let separated = text.replace([' ', '-', '_', '.'], "");
    separated
        .split(|character: char| !character.is_ascii_digit())
        .any(|digits| CARD_DIGITS.contains(&digits.len()) && has_check_digit(digits.as_bytes()))
}

/// The Luhn check: from the right, every other digit counts double.
fn has_check_digit(digits: &[u8]) -> bool {
    let values = digits.iter().rev().enumerate().map(|(index, digit)| match (index % 2, u32::from(digit - b'0')) {
        (0, digit) => digit,
        (_, digit) => digit * 2 / 10 + digit * 2 % 10,
    });
    values.sum::<u32>().is_multiple_of(10)
}

impl fmt::Display for PaymentMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PaymentMethod {
    type Error = PaymentMethodError;
    fn try_from(text: String) -> Result<Self, PaymentMethodError> {
        Self::parse(&text)
    }
}

impl From<PaymentMethod> for String {
    fn from(method: PaymentMethod) -> Self {
        method.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_accepted() {
        for token in ["pm_card_visa", "pm_1MqLiJLkdIwHu7ixUEgbFdYF", "card-7", "t", &"a".repeat(255)] {
            assert_eq!(PaymentMethod::parse(token).map(String::from), Ok(token.to_owned()));
        }
        // As long as a card number, with another check digit.
        assert!(PaymentMethod::parse("pm_4242424242424243").is_ok());
    }

    #[test]
    fn card_numbers_are_refused_in_any_form() {
        for number in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            "378282246310005",
            "6304000000000000",
            "30569309025904",
            "pm_4242424242424242",
            "card:5555555555554444;cvc=1",
        ] {
            assert_eq!(PaymentMethod::parse(number), Err(PaymentMethodError::CardNumber), "{number}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", " ", "123", "_pm", "pm 1", "pm/1", "pm_é", "pm\n", &"a".repeat(256)] {
            assert_eq!(PaymentMethod::parse(text), Err(PaymentMethodError::Invalid), "{text:?}");
        }
    }
}
