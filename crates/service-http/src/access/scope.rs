use std::{fmt, str::FromStr};

/// What an API key allows. Reading and writing are apart: a key that only writes cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Place and cancel orders.
    OrdersWrite,
    /// Read orders, their timelines and their streams.
    OrdersRead,
    /// Set stock; reserve and release it.
    StockWrite,
    /// Read stock and reservations.
    StockRead,
    /// Move money: refund orders, and authorize payments outside of orders.
    PaymentsWrite,
    /// Read payments, of all owners.
    PaymentsRead,
    /// Read the metrics.
    MetricsRead,
    /// Everything, for all owners, and the endpoints for operators.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 8] = [
        Self::OrdersWrite,
        Self::OrdersRead,
        Self::StockWrite,
        Self::StockRead,
        Self::PaymentsWrite,
        Self::PaymentsRead,
        Self::MetricsRead,
        Self::Admin,
    ];

    /// Returns the name, such as `orders:write`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrdersWrite => "orders:write",
            Self::OrdersRead => "orders:read",
            Self::StockWrite => "stock:write",
            Self::StockRead => "stock:read",
            Self::PaymentsWrite => "payments:write",
            Self::PaymentsRead => "payments:read",
            Self::MetricsRead => "metrics:read",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("{name:?} is no scope; there are {names}")
        })
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// The scopes that allow everything.
    pub const ADMIN: Self = Self(Scope::Admin.bit());

    /// Returns whether a request that needs `scope` is allowed. [`Scope::Admin`] allows all.
    #[must_use]
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Returns the members in their order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// The names, with spaces between them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "))
    }
}

impl FromStr for Scopes {
    type Err = String;

    fn from_str(names: &str) -> Result<Self, String> {
        names.split_whitespace().map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_allows_itself_only_and_admin_allows_all() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            for needed in Scope::ALL {
                let allowed = Scopes::from_iter([scope]).allow(needed);
                assert_eq!(allowed, scope == needed || scope == Scope::Admin, "{scope} for {needed}");
                assert!(!Scopes::default().allow(needed));
            }
        }
        assert!("orders".parse::<Scope>().unwrap_err().contains("orders:write"));
    }

    #[test]
    fn a_set_is_written_and_read() {
        let all = Scopes::from_iter(Scope::ALL);
        assert_eq!(all.to_string().parse(), Ok(all));
        assert_eq!(Scopes::ADMIN.to_string(), "admin");
        assert_eq!(" stock:read  orders:write ".parse::<Scopes>().unwrap().to_string(), "orders:write stock:read");
        assert!("".parse::<Scopes>().unwrap().is_empty());
        assert!("orders:write stock".parse::<Scopes>().is_err());
    }
}
