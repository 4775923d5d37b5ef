//! Typed clients of the services' HTTP APIs. Each request has a time limit, and every failure is a [`ClientError`] that
//! a page can show.

mod error;
mod service_client;

pub use error::{ClientError, FieldError};
pub use service_client::{ServiceClient, Services, path_segment};
