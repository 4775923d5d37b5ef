//! JSON Web Tokens (RFC 7519) of the operator's identity provider, which are accepted like API keys (RFC 9068).
//!
//! A token is accepted if the key set (RFC 7517) has the key that it names, the signature is right, issuer and audience
//! are the configured ones, and it has begun and not expired. Its scopes are in `scope` or `scp`, those that are not
//! known here count for nothing. Only RS256, ES256 and EdDSA are accepted, each with a key that is for it.

mod claims;
mod key_set;
mod signatures;
#[cfg(test)]
pub(super) mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use anyhow::{Context as _, Result};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};

use self::{claims::Claims, key_set::KeySet};
use super::Caller;

/// By how much the clocks may differ.
const LEEWAY: Duration = Duration::from_secs(60);
/// How often the file with the keys is read.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtConfig {
    /// The file with the key set.
    pub jwks_file: PathBuf,
    /// The required `iss`.
    pub issuer: String,
    /// The required `aud`, or one of several.
    pub audience: String,
    /// The claim with the name of the owner, such as `sub`.
    pub owner_claim: String,
}

/// The tokens of an identity provider. Clones share the keys, which are read again when the file changes.
#[derive(Debug, Clone)]
pub struct JwtTokens(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: JwtConfig,
    keys: RwLock<Arc<KeySet>>,
}

impl JwtTokens {
    /// Reads the keys, and watches their file for as long as there is a clone.
    ///
    /// # Errors
    /// If the file cannot be read, or has no key that can be used.
    pub fn open(config: JwtConfig) -> Result<Self> {
        signatures::install();
        let content = read(&config.jwks_file)?;
        let keys = RwLock::new(Arc::new(parse(&config.jwks_file, &content)?));
        let shared = Arc::new(Shared { config, keys });
        tokio::spawn(watch(Arc::downgrade(&shared), content));
        Ok(Self(shared))
    }

    /// Returns who has this token, or why it is not accepted.
    pub(super) fn caller(&self, token: &[u8]) -> Result<Caller> {
        let Shared { config, keys } = &*self.0;
        let keys = Arc::clone(&keys.read().unwrap_or_else(PoisonError::into_inner));
        let header = decode_header(token)?;
        // What a critical parameter means is not known here (RFC 7515, 4.1.11).
        anyhow::ensure!(header.crit.is_none(), "it has critical parameters");
        let key =
            keys.find(header.kid.as_deref(), header.alg).context("its key is unknown, or not for its algorithm")?;
        let claims = decode::<Claims>(token, key, &validation(config, header.alg))?.claims;
        claims.caller(&config.owner_claim)
    }
}

fn validation(config: &JwtConfig, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY.as_secs();
    validation.validate_nbf = true;
    validation.set_issuer(&[&config.issuer]);
    validation.set_audience(&[&config.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read the key set {}", file.display()))
}

fn parse(file: &Path, content: &[u8]) -> Result<KeySet> {
    KeySet::parse(content).with_context(|| format!("the key set {} cannot be used", file.display()))
}

/// Takes changed keys into use, and says once why a changed file cannot be used; then the keys before it are valid.
async fn watch(shared: Weak<Shared>, mut used: Vec<u8>) {
    let mut reported = String::new();
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let Some(shared) = shared.upgrade() else { return };
        let file = shared.config.jwks_file.clone();
        let Ok(content) = tokio::task::spawn_blocking(move || read(&file)).await else { continue };
        let changed = content.and_then(|content| {
            let keys = (content != used).then(|| parse(&shared.config.jwks_file, &content)).transpose()?;
            Ok((content, keys))
        });
        match changed {
            Ok((_, None)) => reported.clear(),
            Ok((content, Some(keys))) => {
                (used, reported) = (content, String::new());
                *shared.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                tracing::info!(file = %shared.config.jwks_file.display(), "the key set has changed and is in use");
            }
            Err(error) if format!("{error:#}") != reported => {
                reported = format!("{error:#}");
                tracing::warn!(error = reported, "the key set has changed; the keys before it stay in use");
            }
            Err(_) => {}
        }
    }
}
