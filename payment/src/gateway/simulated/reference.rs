use shared_events::Money;
use uuid::Uuid;

use super::super::Reference;
use crate::domain::PaymentKey;

/// What a reference of the simulated gateway says. It contains all that the gateway's answers depend on, so that they
/// are the same at every replica and after every restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) key: PaymentKey,
    /// `None` in references of versions that did not say it. Those are authorized.
    pub(super) amount: Option<Money>,
}

impl Parts {
    /// Returns the reference: `sim-`, the key, the minor units and the currency.
    pub(super) fn reference(key: PaymentKey, amount: Money) -> Reference {
        Reference(format!("sim-{}-{}-{}", key.0.simple(), amount.minor_units(), amount.currency().code()))
    }

    /// Reads a reference; `None` if this gateway did not make it.
    pub(super) fn of(reference: &Reference) -> Option<Self> {
        let mut parts = reference.0.strip_prefix("sim-")?.split('-');
        let key = PaymentKey(Uuid::try_parse(parts.next()?).ok()?);
        let amount = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => None,
            (Some(minor_units), Some(currency), None) => {
                Some(Money::from_minor_units(minor_units.parse().ok()?, currency.parse().ok()?).ok()?)
            }
            _ => return None,
        };
        Some(Self { key, amount })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_says_what_it_is_of() {
        let key = PaymentKey(Uuid::from_u128(7));
        let amount = Money::parse("20.50", "USD".parse().unwrap()).unwrap();
        let reference = Parts::reference(key, amount);
        assert_eq!(reference.0, "sim-00000000000000000000000000000007-2050-USD");
        assert_eq!(Parts::of(&reference), Some(Parts { key, amount: Some(amount) }));
        let old = Reference("sim-00000000000000000000000000000007".to_owned());
        assert_eq!(Parts::of(&old), Some(Parts { key, amount: None }));
        for text in ["", "sim-", "sim-7-1", "pi_7", "sim-00000000000000000000000000000007-1", "sim-7-0-USD"] {
            assert_eq!(Parts::of(&Reference(text.to_owned())), None, "{text}");
        }
    }
}
