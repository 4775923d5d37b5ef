use std::{fmt, str::FromStr, sync::Arc};

/// Whom orders and reservations belong to: all API keys of one customer have the same owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

/// Why a text names no owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerError;

impl fmt::Display for OwnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an owner has 1 to {} letters, digits, '.', '_', '-', ':' or '@'", Owner::MAX_LENGTH)
    }
}

impl std::error::Error for OwnerError {}

impl Owner {
    /// The longest name, in bytes.
    pub const MAX_LENGTH: usize = 64;

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(name: &str) -> Result<Self, OwnerError> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:@".contains(&byte);
        let is_name = (1..=Self::MAX_LENGTH).contains(&name.len()) && name.bytes().all(is_part);
        if is_name { Ok(Self(name.into())) } else { Err(OwnerError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_a_short_plain_name() {
        let longest = "a".repeat(Owner::MAX_LENGTH);
        for name in ["shop-a", "A.b_c:1@example", &longest] {
            assert_eq!(name.parse::<Owner>().unwrap().as_str(), name);
        }
        for name in ["", " ", "a b", "a\n", "é", "'", "a/b", &format!("{longest}a")] {
            assert_eq!(name.parse::<Owner>(), Err(OwnerError), "{name:?}");
        }
    }
}
