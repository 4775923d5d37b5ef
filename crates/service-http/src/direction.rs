use serde::Deserialize;

/// The order of a collection by its key: the parameter `order`, which is `asc` or `desc`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Direction {
    /// The smallest key first.
    #[default]
    Ascending,
    /// The greatest key first.
    Descending,
}

impl TryFrom<String> for Direction {
    type Error = &'static str;
    fn try_from(name: String) -> Result<Self, &'static str> {
        match name.as_str() {
            "asc" => Ok(Self::Ascending),
            "desc" => Ok(Self::Descending),
            _ => Err("must be asc or desc"),
        }
    }
}
