use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::Uri;
use clap::Args;
use saga_support::read_secret;

use crate::gateway::stripe::{ApiKey, StripeGateway, WebhookSecret};

/// The account of the gateway `stripe`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Stripe")]
pub struct StripeAccount {
    /// File with the secret API key of the Stripe account, or a restricted one
    #[arg(long, env = "STRIPE_API_KEY_FILE")]
    pub stripe_api_key_file: Option<PathBuf>,
    /// The address of the API, for tests
    #[arg(long, env = "STRIPE_URL", default_value = "https://api.stripe.com")]
    pub stripe_url: Uri,
    /// Real money: the API key has to be one of live mode, which is refused without this flag
    #[arg(long, env = "PAYMENT_LIVE")]
    pub live: bool,
}

/// Settings of the gateway `stripe` besides its account.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Stripe")]
pub struct StripeSettings {
    /// File with the secret of Stripe's webhooks (`whsec_…`); without it, none are received at /webhooks/stripe
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET_FILE")]
    pub stripe_webhook_secret_file: Option<PathBuf>,
    /// For tests: the payment method of orders that name none, such as `pm_card_visa`; without it, they are declined
    #[arg(long, env = "STRIPE_DEFAULT_PAYMENT_METHOD")]
    pub stripe_default_payment_method: Option<String>,
}

impl StripeAccount {
    /// Returns Stripe as the gateway. A request may take at most `timeout`. `method` is for orders that name none.
    ///
    /// # Errors
    /// If a setting is missing, contradicts another one, or the key cannot be read. The error never contains the key.
    pub(super) fn gateway(&self, method: Option<String>, timeout: Duration) -> Result<StripeGateway> {
        let file = self.stripe_api_key_file.as_deref();
        let key = api_key(file.context("--payment-gateway stripe needs --stripe-api-key-file")?)?;
        self.check(&key)?;
        StripeGateway::new(&self.stripe_url, key, method, timeout).context("no client for Stripe can be built")
    }

    /// Checks that live mode is not set, for a gateway that moves no money.
    ///
    /// # Errors
    /// If it is set.
    pub(super) fn check_unused(&self) -> Result<()> {
        if self.live {
            bail!("--live is for real money, which the simulated gateway does not move: see --payment-gateway");
        }
        Ok(())
    }

    /// Checks that test and live mode are not mixed.
    fn check(&self, key: &ApiKey) -> Result<()> {
        if self.stripe_url.scheme().is_none() || self.stripe_url.host().is_none() {
            bail!("--stripe-url is not the address of an API, such as https://api.stripe.com");
        }
        match (self.live, key.is_live()) {
            (true, false) => bail!(
                "--live is set, and the key in --stripe-api-key-file is one of test mode: no payment would be real"
            ),
            (false, true) => bail!(
                "the key in --stripe-api-key-file is one of live mode: payments would be real. Set --live if they should"
            ),
            (true, true) if self.stripe_url.scheme_str() != Some("https") => {
                bail!("--stripe-url has to be https with --live")
            }
            _ => Ok(()),
        }
    }
}

impl StripeSettings {
    /// Returns Stripe as the gateway. A request may take at most `timeout`.
    ///
    /// # Errors
    /// As [`StripeAccount::gateway`], and if all orders would charge one customer in live mode.
    pub(super) fn gateway(&self, account: &StripeAccount, timeout: Duration) -> Result<StripeGateway> {
        let method = self.stripe_default_payment_method.clone();
        let gateway = account.gateway(method.clone(), timeout)?;
        if account.live && method.is_some() {
            bail!("--stripe-default-payment-method would charge one customer for all others: not with --live");
        }
        let mode = if account.live { "live: real money is moved" } else { "test: no money is moved" };
        tracing::info!(mode, api = %account.stripe_url, "the payment gateway is Stripe");
        Ok(gateway)
    }

    /// Returns what Stripe signs webhooks with, if any are received.
    ///
    /// # Errors
    /// If the file cannot be read, or is empty.
    pub(super) fn webhook_secret(&self) -> Result<Option<WebhookSecret>> {
        let Some(path) = self.stripe_webhook_secret_file.as_deref() else { return Ok(None) };
        let file = path.display();
        let secret = read_secret(path).with_context(|| format!("cannot read the webhook secret in {file}"))?;
        let secret = WebhookSecret::new(secret);
        secret.map(Some).with_context(|| format!("{file} is empty: see --stripe-webhook-secret-file"))
    }
}

fn api_key(path: &Path) -> Result<ApiKey> {
    let secret = read_secret(path).map_err(|error| {
        anyhow!("cannot read the API key in {} ({error}): see --stripe-api-key-file", path.display())
    })?;
    ApiKey::parse(&secret).with_context(|| format!("the content of {} cannot be used", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        payment: crate::PaymentSettings,
    }

    /// Returns why these settings are refused, if they are. `key` is the content of the file with the key.
    fn refusal(key: &str, flags: &[&str]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, format!("{key}\n")).unwrap();
        let with_key = ["payment", "--payment-gateway=stripe", "--stripe-api-key-file", file.to_str().unwrap()];
        let settings = Cli::parse_from(with_key.iter().chain(flags)).payment;
        let error = settings.gateway().err().map(|error| format!("{error:#}"));
        assert!(!format!("{settings:?} {error:?}").contains("4eC39"), "the key is not printed");
        error
    }

    #[test]
    fn test_and_live_mode_are_not_mixed() {
        let (test, live) = ("sk_test_4eC39", "sk_live_4eC39");
        let method = "--stripe-default-payment-method=pm_card_visa";
        for (key, flags, expected) in [
            (test, &[][..], None),
            (test, &["--stripe-url=http://127.0.0.1:1"], None),
            (test, &[method], None),
            (live, &["--live"], None),
            (test, &["--live"], Some("is one of test mode")),
            (live, &[], Some("is one of live mode")),
            (live, &["--live", "--stripe-url=http://127.0.0.1:1"], Some("has to be https")),
            (live, &["--live", method], Some("not with --live")),
            (test, &["--stripe-url=api.stripe.com"], Some("not the address of an API")),
            ("pk_test_4eC39", &[], Some("not a secret key of Stripe")),
        ] {
            match (refusal(key, flags), expected) {
                (None, None) => {}
                (Some(error), Some(expected)) => assert!(error.contains(expected), "{key} {flags:?}: {error}"),
                (error, _) => panic!("{key} {flags:?}: {error:?}"),
            }
        }
    }

    #[test]
    fn a_key_that_is_missing_is_named() {
        for (flags, expected) in [
            (&["payment", "--payment-gateway=stripe"][..], "needs --stripe-api-key-file"),
            (
                &["payment", "--payment-gateway=stripe", "--stripe-api-key-file=/none"],
                "cannot read the API key in /none",
            ),
            (&["payment", "--live"], "the simulated gateway does not move"),
        ] {
            let error = Cli::parse_from(flags).payment.gateway().unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        }
        let empty = tempfile::NamedTempFile::new().unwrap();
        let flag = format!("--stripe-webhook-secret-file={}", empty.path().display());
        assert!(refusal("sk_test_4eC39", &[&flag]).unwrap().contains("is empty"));
        assert!(Cli::parse_from(["payment"]).payment.gateway().unwrap().simulated.is_some());
    }
}
