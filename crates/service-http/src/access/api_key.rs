use std::fmt;

use saga_database::tables::api_key;
use saga_message::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::hex;

/// Bytes of an id: enough that two keys never have the same.
const ID: usize = 8;
/// Bytes of a secret.
const SECRET: usize = 32;
/// What a key begins with, so that scanners of repositories and logs recognize one.
const PREFIX: &[u8] = b"ck_";

/// A key that a client sends: `ck_<id>_<secret>`, in hexadecimal digits. Its `Debug` output has no secret.
///
/// The service stores the id and the [hash](Self::secret_hash) of the secret. The secret is 256 random bits, so a fast
/// hash without salt is as good as any: nobody can try all secrets.
#[derive(Clone)]
pub struct ApiKey {
    id: [u8; ID],
    secret: [u8; SECRET],
}

impl ApiKey {
    /// Makes a new, random key.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = Self { id: [0; ID], secret: [0; SECRET] };
        getrandom::fill(&mut key.id)?;
        getrandom::fill(&mut key.secret)?;
        Ok(key)
    }

    /// Reads a key as a client sends it; `None` if it is none.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(2 * ID)?;
        Some(Self { id: hex::decode(id)?, secret: hex::decode(secret.strip_prefix(b"_")?)? })
    }

    /// Returns the id, which is no secret: 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(&self.id)
    }

    /// Returns the SHA-256 of the secret's bytes.
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// Returns its row in a service's database: without a label or a limit, and valid until it is revoked. `scopes` are
    /// separated by spaces.
    #[must_use]
    pub fn row(&self, owner: impl Into<String>, scopes: impl Into<String>, created_at: Timestamp) -> api_key::Model {
        api_key::Model {
            key_id: self.id(),
            secret_hash: self.secret_hash().to_vec(),
            owner: owner.into(),
            scopes: scopes.into(),
            label: String::new(),
            rate_limit: None,
            created_at: created_at.unix_micros(),
            expires_at: None,
            revoked_at: None,
        }
    }

    /// Returns the whole key, for whoever is to get it.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("ck_{}_{}", self.id(), hex::encode(&self.secret))
    }
}

/// Omits the secret.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_and_read_and_hides_its_secret() {
        let key = ApiKey::generate().unwrap();
        let text = key.reveal();
        assert_eq!(text.len(), 3 + 16 + 1 + 64);
        let read = ApiKey::parse(text.as_bytes()).unwrap();
        assert_eq!((read.id(), read.secret_hash()), (key.id(), key.secret_hash()));
        assert!(format!("{key:?}").contains(&key.id()) && !format!("{key:?}").contains(&text[20..]));
        let other = ApiKey::generate().unwrap();
        assert!(other.id() != key.id() && other.secret_hash() != key.secret_hash());
    }

    #[test]
    fn the_hash_is_sha_256_of_the_secret() {
        let text = format!("ck_0123456789abcdef_{}", "00".repeat(32));
        let key = ApiKey::parse(text.as_bytes()).unwrap();
        assert_eq!(key.id(), "0123456789abcdef");
        // `head -c 32 /dev/zero | sha256sum`
        let hash = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
        assert_eq!(hex::encode(&key.secret_hash()), hash);
    }

    #[test]
    fn anything_else_is_no_key() {
        let (id, secret) = ("0123456789abcdef", "0a".repeat(32));
        for text in [
            String::new(),
            "ck_".to_owned(),
            format!("ck_{id}"),
            format!("ck_{id}_"),
            format!("ck_{id}{secret}"),
            format!("ck_{id}_{secret}0"),
            format!("ck_{id}_{secret}00"),
            format!("ck_{id}_{}", &secret[2..]),
            format!("ck_{}_{secret}", &id[1..]),
            format!("ck_{id}_{}", secret.to_uppercase()),
            format!("CK_{id}_{secret}"),
            format!(" ck_{id}_{secret}"),
            format!("ck_{id}_{secret}\n"),
            format!("ck_{id}-{secret}"),
            format!("ck_ü23456789abcde_{secret}"),
        ] {
            assert!(ApiKey::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
