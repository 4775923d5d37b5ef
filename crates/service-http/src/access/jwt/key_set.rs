use anyhow::{Context as _, Result, ensure};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The keys of an identity provider that can be used here.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a key set. Keys for something else, such as encryption, are left out.
    ///
    /// # Errors
    /// If it is none, or has no key that can be used.
    pub(super) fn parse(content: &[u8]) -> Result<Self> {
        let document: Document = serde_json::from_slice(content).context("it is no JSON Web Key Set")?;
        let keys: Vec<Key> = document.keys.into_iter().filter_map(Key::of).collect();
        ensure!(!keys.is_empty(), "it has no key for RS256, ES256 or EdDSA");
        Ok(Self(keys))
    }

    /// Returns the key with this id for this algorithm; without an id, the only one for the algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut found =
            self.0.iter().filter(|key| key.algorithm == algorithm && id.is_none_or(|id| key.id.as_deref() == Some(id)));
        match (found.next(), found.next()) {
            (Some(key), None) => Some(&key.key),
            _ => None,
        }
    }
}

impl Key {
    /// Returns `None` for a key that cannot be used here.
    fn of(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let (algorithm, name) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(one) if one.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(one) if one.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return None,
        };
        let common = &jwk.common;
        let is_for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let is_for_it = common.key_algorithm.is_none_or(|one| one == name);
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        (is_for_signatures && is_for_it).then(|| Self { id: common.key_id.clone(), algorithm, key })
    }
}
