use shared_events::Money;
use uuid::Uuid;

use super::super::Reference;
use crate::domain::PaymentKey;

/// How the reference of a captured payment ends.
const CAPTURED: &str = "-captured";

/// What a reference of the simulated gateway says. It contains all that the gateway's answers depend on, so that they
/// are the same at every replica and after every restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Parts {
    pub(super) key: PaymentKey,
    /// `None` in references of versions that did not say it. Those are authorized.
    pub(super) amount: Option<Money>,
    pub(super) is_captured: bool,
}

impl Parts {
    /// Returns those of a payment that is not captured.
    pub(super) fn prepared(key: PaymentKey, amount: Money) -> Self {
        Self { key, amount: Some(amount), is_captured: false }
    }

    /// Reads a reference; `None` if this gateway did not make it.
    pub(super) fn of(reference: &Reference) -> Option<Self> {
        let text = reference.0.strip_prefix("sim-")?;
        let (text, is_captured) = match text.strip_suffix(CAPTURED) {
            Some(text) => (text, true),
            None => (text, false),
        };
        let mut parts = text.split('-');
        let key = PaymentKey(Uuid::try_parse(parts.next()?).ok()?);
        let amount = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => None,
            (Some(minor_units), Some(currency), None) => {
                Some(Money::from_minor_units(minor_units.parse().ok()?, currency.parse().ok()?).ok()?)
            }
            _ => return None,
        };
        Some(Self { key, amount, is_captured })
    }

    /// Returns the reference: `sim-`, the key, the minor units and the currency, and `-captured` if it is.
    pub(super) fn reference(self) -> Reference {
        let mut text = format!("sim-{}", self.key.0.simple());
        if let Some(amount) = self.amount {
            text.push_str(&format!("-{}-{}", amount.minor_units(), amount.currency().code()));
        }
        if self.is_captured {
            text.push_str(CAPTURED);
        }
        Reference(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_says_what_it_is_of() {
        let key = PaymentKey(Uuid::from_u128(7));
        let amount = Money::parse("20.50", "USD".parse().unwrap()).unwrap();
        let prepared = Parts::prepared(key, amount);
        for (parts, text) in [
            (prepared, "sim-00000000000000000000000000000007-2050-USD"),
            (Parts { is_captured: true, ..prepared }, "sim-00000000000000000000000000000007-2050-USD-captured"),
            (Parts { amount: None, ..prepared }, "sim-00000000000000000000000000000007"),
            (Parts { amount: None, is_captured: true, ..prepared }, "sim-00000000000000000000000000000007-captured"),
        ] {
            let reference = Reference(text.to_owned());
            assert_eq!((parts.reference(), Parts::of(&reference)), (reference.clone(), Some(parts)));
        }
        for text in [
            "",
            "sim-",
            "sim-captured",
            "sim-7-1",
            "pi_7",
            "sim-00000000000000000000000000000007-1",
            "sim-7-0-USD",
            "sim-00000000000000000000000000000007-captured-captured",
        ] {
            assert_eq!(Parts::of(&Reference(text.to_owned())), None, "{text}");
        }
    }
}
