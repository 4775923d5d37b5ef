/// A key that a client chooses for a request, so that sending it twice creates one order only. It has 1 to 255
/// characters, is not blank and has no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Maximum length of a key, in characters.
    pub const MAX_CHARS: usize = 255;

    /// Checks that `text` is a key.
    ///
    /// # Errors
    /// If `text` is blank, is too long or contains control characters.
    pub fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        if text.trim().is_empty() {
            Err(IdempotencyKeyError("must not be blank"))
        } else if text.chars().count() > Self::MAX_CHARS {
            Err(IdempotencyKeyError("must have at most 255 characters"))
        } else if text.chars().any(char::is_control) {
            Err(IdempotencyKeyError("must not contain control characters"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// Returns the key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKeyError(&'static str);

impl std::fmt::Display for IdempotencyKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for IdempotencyKeyError {}
