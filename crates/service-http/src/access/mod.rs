//! Who sends a request, and what it may do.
//!
//! Each route says in its OpenAPI annotation what it needs: `security(())` if everybody may use it, else one scope, as
//! `security(("bearer" = [Scope::Admin]))`. [`finish`](crate::finish) reads it from there, and [`AccessControl`] holds
//! the route to it, so the documents are true. A handler extracts its [`Caller`].

mod admin_token;
mod api_key;
mod api_keys;
mod caller;
mod control;
mod jwt;
mod owner;
mod rate_limit;
mod refused;
mod requirements;
mod scope;
#[cfg(test)]
mod tests;

pub use admin_token::{AdminToken, NotAToken};
pub use api_key::ApiKey;
pub use api_keys::ApiKeys;
pub use caller::{Caller, Identity};
pub use control::{AccessControl, Session};
pub(crate) use control::{Guarded, authorize};
pub use jwt::{JwtConfig, JwtTokens};
pub use owner::{Owner, OwnerError};
pub(crate) use requirements::{Requirements, SCHEME};
pub use scope::{Scope, Scopes};
