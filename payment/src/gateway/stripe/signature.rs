//! The signatures of webhooks, as <https://docs.stripe.com/webhooks/signature> describes them.

use std::{fmt, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How old a signature may be, and how far its time may be ahead of this machine's.
const TOLERANCE: Duration = Duration::from_secs(300);

/// The secret of a webhook endpoint (`whsec_…`). It is never printed.
#[derive(Clone)]
pub struct WebhookSecret(String);

/// Why a webhook is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no header `Stripe-Signature`, or it cannot be read.
    #[error("the header Stripe-Signature is missing or cannot be read")]
    Unreadable,
    /// No signature is that of the body.
    #[error("no signature in Stripe-Signature fits the body")]
    Wrong,
    /// It is more than five minutes off.
    #[error("the time in Stripe-Signature is more than 5 minutes off")]
    OutOfTolerance,
}

impl WebhookSecret {
    /// Creates it from the text that Stripe shows for an endpoint; `None` if that is empty.
    #[must_use]
    pub fn new(secret: String) -> Option<Self> {
        (!secret.is_empty()).then_some(Self(secret))
    }

    /// Verifies the header `Stripe-Signature` of a webhook that arrived at `now`, in seconds since 1970. One of its
    /// `v1` signatures has to fit: while a secret is replaced, there are two of them. Takes the same time for
    /// each signature that is wrong.
    ///
    /// # Errors
    /// If the body is not from someone who has the secret, or was signed too long ago.
    pub fn verify(&self, header: &str, body: &[u8], now: i64) -> Result<(), SignatureError> {
        let fields = || header.split(',').filter_map(|field| field.trim().split_once('='));
        let signed_at =
            fields().find(|(name, _)| *name == "t").map(|(_, time)| time).ok_or(SignatureError::Unreadable)?;
        let seconds: i64 = signed_at.parse().map_err(|_| SignatureError::Unreadable)?;
        let fits = fields()
            .filter(|(name, _)| *name == "v1")
            .filter_map(|(_, signature)| hex::decode(signature).ok())
            .any(|signature| self.mac(signed_at, body).verify_slice(&signature).is_ok());
        if !fits {
            return Err(SignatureError::Wrong);
        }
        let off = now.abs_diff(seconds);
        if off > TOLERANCE.as_secs() { Err(SignatureError::OutOfTolerance) } else { Ok(()) }
    }

    /// Returns the header of a body that is signed at this time, in seconds since 1970. For tests and fakes.
    #[must_use]
    pub fn sign(&self, seconds: i64, body: &[u8]) -> String {
        let time = seconds.to_string();
        format!("t={time},v1={}", hex::encode(self.mac(&time, body).finalize().into_bytes()))
    }

    fn mac(&self, signed_at: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("a key of HMAC has any length");
        mac.update(signed_at.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac
    }
}

/// Omits the secret.
impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecret").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::new(text.to_owned()).unwrap()
    }

    /// Computed with Python: `hmac.new(b"whsec_test", b"1700000000." + body, "sha256").hexdigest()`.
    #[test]
    fn a_signature_that_another_implementation_computed() {
        let header = "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925,v0=00";
        assert_eq!(secret("whsec_test").verify(header, BODY, 1_700_000_000), Ok(()));
        assert_eq!(secret("whsec_test").sign(1_700_000_000, BODY), header.trim_end_matches(",v0=00"));
    }

    #[test]
    fn only_fresh_signatures_with_the_secret_are_accepted() {
        let (ours, other) = (secret("whsec_ours"), secret("whsec_other"));
        let header = ours.sign(1_000, BODY);
        for (now, expected) in [
            (1_000, Ok(())),
            (1_300, Ok(())),
            (700, Ok(())),
            (1_301, Err(SignatureError::OutOfTolerance)),
            (699, Err(SignatureError::OutOfTolerance)),
        ] {
            assert_eq!(ours.verify(&header, BODY, now), expected, "at {now}");
        }
        assert_eq!(ours.verify(&header, b"another body", 1_000), Err(SignatureError::Wrong));
        assert_eq!(other.verify(&header, BODY, 1_000), Err(SignatureError::Wrong));
        // The time is signed, too.
        assert_eq!(ours.verify(&header.replace("t=1000", "t=1001"), BODY, 1_001), Err(SignatureError::Wrong));
        assert!(!format!("{ours:?}").contains("ours"));
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let (ours, before) = (secret("whsec_ours"), secret("whsec_before"));
        let (new, old) = (ours.sign(1_000, BODY), before.sign(1_000, BODY));
        let both = format!("{old},{}", new.split_once(',').unwrap().1);
        for secret in [ours, before] {
            assert_eq!(secret.verify(&both, BODY, 1_000), Ok(()));
        }
    }

    #[test]
    fn other_headers_are_refused() {
        let signature = secret("whsec_ours").sign(1_000, BODY);
        let (time, v1) = signature.split_once(',').unwrap();
        for (header, error) in [
            (String::new(), SignatureError::Unreadable),
            (v1.to_owned(), SignatureError::Unreadable),
            (format!("t=x,{v1}"), SignatureError::Unreadable),
            (time.to_owned(), SignatureError::Wrong),
            (format!("{time},v1=zz"), SignatureError::Wrong),
            (format!("{time},v1="), SignatureError::Wrong),
            (format!("{time},v0={}", v1.trim_start_matches("v1=")), SignatureError::Wrong),
            (format!("t=0001000,{v1}"), SignatureError::Wrong),
        ] {
            assert_eq!(secret("whsec_ours").verify(&header, BODY, 1_000), Err(error), "{header}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(header in "([tv01=,a-f0-9-]{0,80}|.{0,80})", body in ".{0,20}") {
            prop_assert!(secret("whsec_ours").verify(&header, body.as_bytes(), 1_000).is_err());
        }
    }
}
