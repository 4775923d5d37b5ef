use std::{fmt, str::FromStr};

use subtle::ConstantTimeEq as _;

use crate::hex;

/// The secret of an operator, with which everything is allowed. Its `Debug` output does not contain it.
#[derive(Clone)]
pub struct AdminToken {
    secret: Box<str>,
    /// Whether only this process knows it.
    generated: bool,
}

/// Minimum length of a token, in characters.
const LEAST_CHARACTERS: usize = 16;

/// Why a text cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// It is empty or only white space, such as a variable without a value.
    #[error("is blank")]
    Blank,
    /// It cannot be sent in a header.
    #[error("has characters other than visible ASCII")]
    NotVisible,
    /// It is short enough to be guessed.
    #[error("has fewer than {LEAST_CHARACTERS} characters; make one with `openssl rand -base64 24`")]
    TooShort,
}

impl AdminToken {
    /// Compares `offered` with this token, in a time that depends only on the length.
    #[must_use]
    pub fn is(&self, offered: &[u8]) -> bool {
        self.secret.as_bytes().ct_eq(offered).into()
    }

    /// Returns the secret itself, for a client that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.secret
    }

    /// Makes a random token that only this process knows. With it, parts of the process may do everything; towards
    /// everybody else the service behaves as if there were none.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random)?;
        Ok(Self { secret: hex::encode(&random).into(), generated: true })
    }

    /// Returns whether it was generated, so that no operator has it.
    pub(super) fn is_generated(&self) -> bool {
        self.generated
    }
}

impl FromStr for AdminToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        match text.trim() {
            "" => Err(NotAToken::Blank),
            token if !token.bytes().all(|byte| byte.is_ascii_graphic()) => Err(NotAToken::NotVisible),
            token if token.len() < LEAST_CHARACTERS => Err(NotAToken::TooShort),
            token => Ok(Self { secret: token.into(), generated: false }),
        }
    }
}

/// Omits the secret.
impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_compared_whole_and_not_shown() {
        let token: AdminToken = "0123456789abcdef".parse().unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in
            ["", "0123456789abcde", "0123456789abcdef ", "0123456789ABCDEF", "x123456789abcdef", "0123456789abcdefs"]
        {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?}"), "AdminToken");
    }

    #[test]
    fn a_generated_token_is_new_each_time() {
        let (one, two) = (AdminToken::generate().unwrap(), AdminToken::generate().unwrap());
        assert!(one.is_generated() && one.is(one.reveal().as_bytes()) && !one.is(two.reveal().as_bytes()));
    }
}
