use std::fmt;

/// A secret key of a Stripe account. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    key: String,
    live: bool,
}

/// A text that is not a secret key. It does not contain the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a secret key of Stripe: it begins with sk_test_, rk_test_, sk_live_ or rk_live_")]
pub struct InvalidApiKey;

impl ApiKey {
    /// Parses a secret key (`sk_…`) or a restricted key (`rk_…`). A publishable key (`pk_…`) cannot be used.
    ///
    /// # Errors
    /// If it is no such key.
    pub fn parse(key: &str) -> Result<Self, InvalidApiKey> {
        let rest = key.strip_prefix("sk_").or_else(|| key.strip_prefix("rk_")).ok_or(InvalidApiKey)?;
        let (mode, secret) = rest.split_once('_').ok_or(InvalidApiKey)?;
        let is_token = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match mode {
            "test" | "live" if is_token => Ok(Self { key: key.to_owned(), live: mode == "live" }),
            _ => Err(InvalidApiKey),
        }
    }

    /// Returns whether the key moves real money.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Returns the key, for the header of a request.
    pub(super) fn expose(&self) -> &str {
        &self.key
    }
}

/// Omits the secret.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("live", &self.live).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whether_it_moves_real_money_and_is_not_printed() {
        for (key, live) in [("sk_test_4eC39", false), ("rk_test_4eC39", false), ("sk_live_4eC39", true)] {
            let parsed = ApiKey::parse(key).unwrap();
            assert_eq!(parsed.is_live(), live, "{key}");
            assert!(!format!("{parsed:?}").contains("4eC39"));
        }
        for key in
            ["", "sk_test_", "pk_test_4eC39", "sk_prod_4eC39", "whsec_4eC39", "sk_test_4eC39\r\nX: y", " sk_test_1"]
        {
            assert_eq!(ApiKey::parse(key), Err(InvalidApiKey), "{key:?}");
        }
    }
}
