//! Who may use the console, and from where.
//!
//! - Without an admin token it listens on this machine only, and answers only requests that name this machine
//!   ([`host`]): otherwise a page of another site could reach it under a name that resolves to 127.0.0.1.
//! - With an admin token, one logs in with that token ([`login`]).
//! - A change needs a request from a page of the console itself ([`origin`]). A client that is no browser sends
//!   `Sec-Fetch-Site: same-origin`.
//! - Scripts and styles come from the console only, and no other site may embed its pages ([`headers`]).

mod access;
mod headers;
mod host;
mod login;
mod origin;

pub(crate) use access::Access;
pub(crate) use headers::set_headers;
pub(crate) use host::refuse_foreign_hosts;
pub(crate) use login::{require_login, routes};
pub(crate) use origin::refuse_cross_site;
