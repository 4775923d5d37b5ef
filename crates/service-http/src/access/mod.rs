//! Who sends a request, and what it may do.

mod caller;
mod owner;
mod scope;

pub use caller::{Caller, Identity};
pub use owner::{Owner, OwnerError};
pub use scope::{Scope, Scopes};
