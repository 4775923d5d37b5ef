//! The inventory service over REST.

mod change;
mod read;
mod routes;
mod wire;

pub(crate) use routes::routes;
pub use wire::ItemView;
