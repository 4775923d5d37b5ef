use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{Owner, Scope, Scopes};

/// How a caller has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Not at all, where that is allowed.
    Anonymous,
    /// By the admin token.
    AdminToken,
    /// By the API key with this id.
    Key(Arc<str>),
    /// By a token of the identity provider.
    Token {
        /// Whose token it is: its `sub`.
        subject: Arc<str>,
        /// When it expires, in seconds since 1970.
        expires_at: i64,
    },
}

/// Who sends a request. A handler extracts it; without access control, it is [`Self::anonymous`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    identity: Identity,
    owner: Option<Owner>,
    scopes: Scopes,
}

impl Caller {
    /// Somebody unknown, where access is open. It may do everything.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self { identity: Identity::Anonymous, owner: None, scopes: Scopes::ADMIN }
    }

    /// Whoever has the admin token.
    #[must_use]
    pub const fn operator() -> Self {
        Self { identity: Identity::AdminToken, owner: None, scopes: Scopes::ADMIN }
    }

    /// Whoever has the API key with this id, which belongs to `owner`.
    #[must_use]
    pub fn with_key(id: Arc<str>, owner: Owner, scopes: Scopes) -> Self {
        Self { identity: Identity::Key(id), owner: Some(owner), scopes }
    }

    /// Whoever has a token of the identity provider, which expires at this time, in seconds since 1970.
    #[must_use]
    pub fn with_token(subject: Arc<str>, expires_at: i64, owner: Owner, scopes: Scopes) -> Self {
        Self { identity: Identity::Token { subject, expires_at }, owner: Some(owner), scopes }
    }

    /// Returns how it has shown who it is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns whether it may do what needs `scope`.
    #[must_use]
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }

    /// Returns whose orders and reservations it may see and change; `None` for all.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref().filter(|_| !self.may(Scope::Admin))
    }

    /// Returns the owner of what it creates; empty if the caller has none.
    #[must_use]
    pub fn owner_of_new(&self) -> &str {
        self.owner.as_ref().map_or("", Owner::as_str)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::anonymous))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_sees_its_own_and_an_admin_sees_all() {
        let key = |scopes: &str| Caller::with_key("1".into(), "shop".parse().unwrap(), scopes.parse().unwrap());
        let (shop, admin) = (key("orders:read"), key("admin"));
        assert_eq!((shop.owner().map(Owner::as_str), shop.owner_of_new()), (Some("shop"), "shop"));
        assert_eq!((admin.owner(), admin.owner_of_new()), (None, "shop"));
        assert!(shop.may(Scope::OrdersRead) && !shop.may(Scope::OrdersWrite) && admin.may(Scope::OrdersWrite));
        for everybody in [Caller::anonymous(), Caller::operator()] {
            assert_eq!((everybody.owner(), everybody.owner_of_new()), (None, ""));
            assert!(everybody.may(Scope::Admin));
        }
    }
}
