/// The client's own name for a request, so that sending it twice makes one order: 1 to 255 visible characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The longest key, in characters.
    pub const MAX_CHARS: usize = 255;

    /// # Errors
    /// Says what is wrong with `text` as a key.
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

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKeyError(&'static str);

impl std::fmt::Display for IdempotencyKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for IdempotencyKeyError {}
