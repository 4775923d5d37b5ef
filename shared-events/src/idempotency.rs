/// A key that a client chooses for a request, so that sending it twice has the effect of one request. It has 1 to 255
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

    /// Parses the value of the header `Idempotency-Key`: the key itself or, as the draft of the standard has it, a
    /// string of structured fields, in quotes that are not part of the key (RFC 9651, 3.3.3).
    ///
    /// # Errors
    /// As [`Self::parse`], or if it begins with a quote and is no such string.
    pub fn parse_header(value: &str) -> Result<Self, IdempotencyKeyError> {
        let Some(quoted) = value.strip_prefix('"') else { return Self::parse(value) };
        Self::parse(&unquote(quoted).ok_or(IdempotencyKeyError("must end with its only quote that is not escaped"))?)
    }

    /// Returns the key of a request that may have one in its body and one in the header `Idempotency-Key`.
    ///
    /// # Errors
    /// If one of them is no key, or they differ.
    pub fn of_request(body: Option<&str>, header: Option<&str>) -> Result<Option<Self>, IdempotencyKeyError> {
        match (body.map(Self::parse).transpose()?, header.map(Self::parse_header).transpose()?) {
            (Some(body), Some(header)) if body != header => {
                Err(IdempotencyKeyError("differs from the header Idempotency-Key"))
            }
            (body, header) => Ok(body.or(header)),
        }
    }

    /// Returns the key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What ends the idempotency key in the text of an [`OwnedKey`]. Neither keys nor owners contain control characters.
const KEY_END: char = '\u{1f}';

/// The character that follows [`KEY_END`].
const AFTER_KEY_END: char = '\u{20}';

/// An idempotency key and whose it is: the same key of two owners is two keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedKey {
    /// The owner of the API key with which it was sent; empty if there was none.
    pub owner: String,
    /// The idempotency key.
    pub key: IdempotencyKey,
}

impl OwnedKey {
    /// Returns the text that stands for the key of an owner in a database. The key comes first, so that those of all
    /// owners with one key are next to each other.
    #[must_use]
    pub fn text_of(owner: &str, key: &IdempotencyKey) -> String {
        format!("{}{KEY_END}{owner}", key.as_str())
    }

    /// Returns the two columns in which it is stored: the key alone if it has no owner, and the
    /// [text](Self::text_of) if it has one.
    #[must_use]
    pub fn columns_of(owner: &str, key: &IdempotencyKey) -> (Option<String>, Option<String>) {
        match owner {
            "" => (Some(key.as_str().to_owned()), None),
            _ => (None, Some(Self::text_of(owner, key))),
        }
    }

    /// Reads the two columns; `None` if both are empty.
    ///
    /// # Errors
    /// If they have no key.
    pub fn of_columns(key: Option<&str>, text: Option<&str>) -> Result<Option<Self>, IdempotencyKeyError> {
        let parts = match (text, key) {
            (Some(text), _) => text.split_once(KEY_END).ok_or(IdempotencyKeyError("must be followed by its owner"))?,
            (None, Some(key)) => (key, ""),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { owner: parts.1.to_owned(), key: IdempotencyKey::parse(parts.0)? }))
    }

    /// Returns the bounds, both excluded, of the texts of all owners with this key.
    #[must_use]
    pub fn bounds_of_all(key: &IdempotencyKey) -> (String, String) {
        let bound = |end: char| format!("{}{end}", key.as_str());
        (bound(KEY_END), bound(AFTER_KEY_END))
    }
}

/// Returns the content of a string of structured fields, given what follows its first quote.
fn unquote(quoted: &str) -> Option<String> {
    let (mut content, mut characters) = (String::new(), quoted.chars());
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(content),
            '\\' => content.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            character => content.push(character),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_body_and_one_in_the_header_must_be_the_same() {
        let of = |body, header| IdempotencyKey::of_request(body, header).map(|key| key.map(|key| key.0));
        let key = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!((of(None, None), of(Some("a"), None), of(None, Some("\"a\""))), (Ok(None), key("a"), key("a")));
        assert_eq!(of(Some("a"), Some("\"a\"")), key("a"));
        assert!(of(Some("a"), Some("b")).is_err() && of(Some(""), None).is_err() && of(Some("a"), Some("")).is_err());
    }

    #[test]
    fn an_owned_key_is_read_as_it_was_written() {
        let key = IdempotencyKey::parse("k 1").unwrap();
        for owner in ["", "shop-a", "a:b"] {
            let (plain, text) = OwnedKey::columns_of(owner, &key);
            assert_eq!((plain.is_some(), text.is_some()), (owner.is_empty(), !owner.is_empty()));
            let owned = OwnedKey { owner: owner.to_owned(), key: key.clone() };
            assert_eq!(OwnedKey::of_columns(plain.as_deref(), text.as_deref()), Ok(Some(owned)));
            let (above, below) = OwnedKey::bounds_of_all(&key);
            assert!(text.is_none_or(|text| above < text && text < below));
        }
        assert_eq!(OwnedKey::of_columns(None, None), Ok(None));
        for (plain, text) in [(Some(""), None), (None, Some("k")), (None, Some("\u{1f}shop-a"))] {
            assert!(OwnedKey::of_columns(plain, text).is_err());
        }
    }

    #[test]
    fn quotes_are_no_part_of_a_key_in_a_header() {
        let parse = |value: &str| IdempotencyKey::parse_header(value).map(|key| key.as_str().to_owned());
        for (value, key) in [
            ("k-1", "k-1"),
            ("\"k-1\"", "k-1"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            ("k\"1\"", "k\"1\""),
            ("a\\b", "a\\b"),
        ] {
            assert_eq!(parse(value).as_deref(), Ok(key), "{value}");
        }
        for value in ["\"", "\"\"", "\" \"", "\"a", "\"a\"b", "\"a\";b=1", "\"a\\\"", "\"a\\b\"", "\"a\" ", ""] {
            assert!(parse(value).is_err(), "{value}");
        }
        assert!(parse(&format!("\"{}\"", "a".repeat(IdempotencyKey::MAX_CHARS))).is_ok());
        assert!(parse(&format!("\"{}\"", "a".repeat(IdempotencyKey::MAX_CHARS + 1))).is_err());
    }
}
